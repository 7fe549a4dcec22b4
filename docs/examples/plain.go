// Rundlet with Go's standard library alone: go run plain.go
//
// Talks to http://127.0.0.1:8000, or to the server that RUNDLET_URL names.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"
)

var errChanged = errors.New("another write came first")

// value is a text and the ETag that a conditional write needs.
type value struct {
	text, etag string
}

func server() string {
	if named := os.Getenv("RUNDLET_URL"); named != "" {
		return named
	}
	return "http://127.0.0.1:8000"
}

// address returns the URL of a key: its parts are percent-encoded, its slashes stay.
func address(key string) string {
	parts := strings.Split(key, "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return server() + "/v1/kv/" + strings.Join(parts, "/")
}

// problem is the body of every error.
type problem struct {
	Status        int
	Title, Detail string
}

func failed(response *http.Response) error {
	var found problem
	if err := json.NewDecoder(response.Body).Decode(&found); err != nil {
		return err
	}
	return fmt.Errorf("%d %s: %s", found.Status, found.Title, found.Detail)
}

// get returns a value, or nil if the key has none.
func get(key string) (*value, error) {
	response, err := http.Get(address(key))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
		text, err := io.ReadAll(response.Body)
		return &value{string(text), response.Header.Get("ETag")}, err
	case http.StatusNotFound:
		return nil, nil
	}
	return nil, failed(response)
}

// set stores a text. The write is done only if the key still has the value old (nil: none).
func set(key, text string, old *value) error {
	request, err := http.NewRequest(http.MethodPut, address(key), strings.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "text/plain; charset=utf-8")
	if old == nil {
		request.Header.Set("If-None-Match", "*")
	} else {
		request.Header.Set("If-Match", old.etag)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusPreconditionFailed:
		return errChanged
	case response.StatusCode >= 400:
		return failed(response)
	}
	return nil
}

// change edits a text, and never overwrites a change that came in between.
func change(key string, edit func(string) string) error {
	for {
		old, err := get(key)
		if err != nil {
			return err
		}
		text := ""
		if old != nil {
			text = old.text
		}
		if err = set(key, edit(text), old); !errors.Is(err, errChanged) {
			return err
		}
	}
}

// event is a change; a line of the feed without an operation is the position of the feed.
type event struct {
	Revision, Version int64
	Op, Key           string
}

// follow calls see with every change of a prefix since a revision, until see returns false.
func follow(prefix string, since int64, see func(event) bool) error {
	query := url.Values{"prefix": {prefix}, "since": {fmt.Sprint(since)}}
	request, err := http.NewRequest(http.MethodGet, server()+"/v1/changes?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/x-ndjson")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return failed(response)
	}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		var found event
		if err := json.Unmarshal(lines.Bytes(), &found); err != nil {
			return err
		}
		if found.Op != "" && !see(found) {
			return nil
		}
	}
	return lines.Err()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	check(set("go/wood", "oak", nil))
	if err := set("go/wood", "elm", nil); !errors.Is(err, errChanged) {
		log.Fatal("a value was overwritten: ", err)
	}
	check(change("go/wood", func(text string) string { return text + " and ash" }))
	found, err := get("go/wood")
	check(err)
	fmt.Println(found.text)
	check(follow("go/", 0, func(found event) bool {
		fmt.Println(found.Revision, found.Op, found.Key)
		return found.Version < 2
	}))
	fmt.Println("done")
}

// Rundlet from Go, with the standard library alone.
// Talks to http://127.0.0.1:8000, or to the server that RUNDLET_URL names: go run rundlet.go
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ErrChanged says that another client wrote the key.
var ErrChanged = errors.New("the key has changed")

// Store is a server; many goroutines may use it.
type Store struct {
	base   string
	client http.Client
}

// pathOf returns the path of a key. Keys with a segment "." or ".." need /v1/kv64/ and base64url.
func pathOf(key string) string {
	segments := strings.Split(key, "/")
	for i, segment := range segments {
		segments[i] = url.PathEscape(segment)
	}
	return "/v1/kv/" + strings.Join(segments, "/")
}

// ask sends a request once. If it is a write and no answer comes, it may have been done.
func (s *Store) ask(ctx context.Context, method, target string, body []byte, headers ...string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.base+target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusPreconditionFailed {
		response.Body.Close()
		return nil, ErrChanged
	}
	if response.StatusCode >= 400 && response.StatusCode != http.StatusNotFound {
		defer response.Body.Close()
		var problem struct{ Detail string }
		_ = json.NewDecoder(response.Body).Decode(&problem)
		return nil, fmt.Errorf("%s: %s", response.Status, problem.Detail)
	}
	return response, nil
}

// Get returns a value and its ETag; both are empty if the key has none.
func (s *Store) Get(ctx context.Context, key string) ([]byte, string, error) {
	response, err := s.ask(ctx, http.MethodGet, pathOf(key), nil)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	value, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode == http.StatusNotFound {
		return nil, "", err
	}
	return value, response.Header.Get("ETag"), nil
}

// Update changes a value; it repeats the change until no other client wrote in between.
func (s *Store) Update(ctx context.Context, key string, change func([]byte) []byte) error {
	for {
		value, etag, err := s.Get(ctx, key)
		if err != nil {
			return err
		}
		condition := []string{"If-Match", etag}
		if etag == "" {
			condition = []string{"If-None-Match", "*"}
		}
		headers := append(condition, "Content-Type", "text/plain; charset=utf-8")
		response, err := s.ask(ctx, http.MethodPut, pathOf(key), change(value), headers...)
		if errors.Is(err, ErrChanged) {
			continue
		}
		if err == nil {
			response.Body.Close()
		}
		return err
	}
}

// Keys returns the keys with a prefix, page by page, all of one snapshot.
func (s *Store) Keys(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	target := "/v1/keys?" + url.Values{"prefix": {prefix}}.Encode()
	for target != "" {
		var page struct {
			Keys []struct{ Key string }
			Next string
		}
		if err := s.read(ctx, target, &page); err != nil {
			return nil, err
		}
		for _, info := range page.Keys {
			keys = append(keys, info.Key)
		}
		target = page.Next
	}
	return keys, nil
}

// Follow calls seen with each change after a revision, until it returns false.
func (s *Store) Follow(ctx context.Context, prefix string, since int64, seen func(op, key string, last bool) bool) error {
	options := url.Values{"prefix": {prefix}, "since": {strconv.FormatInt(since, 10)}}
	response, err := s.ask(ctx, http.MethodGet, "/v1/changes?"+options.Encode(), nil, "Accept", "application/x-ndjson")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return err
		}
		var event struct {
			Op, Key string
			Last    bool
		}
		if err := json.Unmarshal(line, &event); err != nil {
			return err
		}
		if event.Key != "" && !seen(event.Op, event.Key, event.Last) {
			return nil
		}
	}
}

func (s *Store) read(ctx context.Context, target string, into any) error {
	response, err := s.ask(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return json.NewDecoder(response.Body).Decode(into)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	base := os.Getenv("RUNDLET_URL")
	if base == "" {
		base = "http://127.0.0.1:8000"
	}
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	store := &Store{base: base}

	// Ten updates at once: none is lost.
	var all sync.WaitGroup
	for range make([]struct{}, 10) {
		all.Add(1)
		go func() {
			defer all.Done()
			check(store.Update(ctx, "go/größe", func(value []byte) []byte {
				number, _ := strconv.Atoi(string(value))
				return []byte(strconv.Itoa(number + 1))
			}))
		}()
	}
	all.Wait()
	value, _, err := store.Get(ctx, "go/größe")
	check(err)
	fmt.Println(string(value))

	// Many writes, all or none; then the changes since, and a list.
	var server struct{ Revision int64 }
	check(store.read(ctx, "/v1", &server))
	body, err := json.Marshal(map[string]any{
		"if": []any{map[string]any{"key": "go/order", "exists": false}},
		"then": []any{
			map[string]any{"op": "put", "key": "go/order", "text": "oak"},
			map[string]any{"op": "add", "key": "go/sold", "by": 1},
		},
	})
	check(err)
	response, err := store.ask(ctx, http.MethodPost, "/v1/txn", body, "Content-Type", "application/json")
	check(err)
	response.Body.Close()
	check(store.Follow(ctx, "go/", server.Revision, func(op, key string, last bool) bool {
		fmt.Println(op, key)
		return !last
	}))
	keys, err := store.Keys(ctx, "go/")
	check(err)
	fmt.Println(strings.Join(keys, " "))
	fmt.Println("done")
}

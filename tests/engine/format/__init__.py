"""Test the bytes on disk: formats, manifests, index files, and folders of earlier releases."""

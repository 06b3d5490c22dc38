package main

import "github.com/reconquest/sould/internal/storage"

// named is the mirror's name that a test has written down.
func named(raw string) storage.Name {
	n, err := storage.ParseName(raw)
	if err != nil {
		panic(err)
	}
	return n
}

// Command trivy-db writes the file in which trivy looks advisories up, from what a script made up: a bbolt file, as
// https://github.com/aquasecurity/trivy-db writes it. Standard input has an entry a line.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	bolt "go.etcd.io/bbolt"
)

// An entry lies in a bucket in a bucket, the outermost first; its value is kept as it is.
type entry struct {
	Buckets []string        `json:"buckets"`
	Key     string          `json:"key"`
	Value   json.RawMessage `json:"value"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: trivy-db FILE < ENTRIES")
		os.Exit(64)
	}
	if err := write(os.Args[1], os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "trivy-db:", err)
		os.Exit(1)
	}
}

func write(path string, entries io.Reader) error {
	database, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	written := database.Update(func(tx *bolt.Tx) error {
		decoder := json.NewDecoder(bufio.NewReader(entries))
		for {
			var next entry
			if err := decoder.Decode(&next); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if err := put(tx, next); err != nil {
				return fmt.Errorf("%v %q: %w", next.Buckets, next.Key, err)
			}
		}
	})
	return errors.Join(written, database.Close())
}

func put(tx *bolt.Tx, next entry) error {
	if len(next.Buckets) == 0 {
		return errors.New("an entry without a bucket")
	}
	bucket, err := tx.CreateBucketIfNotExists([]byte(next.Buckets[0]))
	for _, name := range next.Buckets[1:] {
		if err != nil {
			return err
		}
		bucket, err = bucket.CreateBucketIfNotExists([]byte(name))
	}
	if err != nil {
		return err
	}
	return bucket.Put([]byte(next.Key), next.Value)
}

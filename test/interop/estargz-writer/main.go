// Command estargz-writer makes the fixture test/fixtures/foreign-layers/estargz of a tar, with the library that stargz
// snapshotters use: estargz-writer IN.tar OUT.tar.gz
package main

import (
	"io"
	"log"
	"os"

	"github.com/containerd/stargz-snapshotter/estargz"
)

func main() {
	in, err := os.Open(os.Args[1])
	check(err)
	stat, err := in.Stat()
	check(err)
	blob, err := estargz.Build(io.NewSectionReader(in, 0, stat.Size()), estargz.WithChunkSize(2<<10))
	check(err)
	defer blob.Close()
	out, err := os.Create(os.Args[2])
	check(err)
	_, err = io.Copy(out, blob)
	check(err)
	check(out.Close())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// Command clip-reader drives the stock CLIP module so that tests can hold our archives against it.
//
//	clip-reader list ARCHIVE                   every node in index order, one JSON object a line
//	clip-reader storage ARCHIVE                the storage info as JSON
//	clip-reader read [-tag TAG] ARCHIVE PATH...  file bytes (base64) through the stock storage layer, one JSON object a line
//	clip-reader index -image REF -out FILE     the stock indexer against a registry
//	clip-reader mount ARCHIVE DIR              the stock mount, cache under TMPDIR; one JSON line when it is there, ends when unmounted
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/beam-cloud/clip/pkg/clip"
	"github.com/beam-cloud/clip/pkg/common"
	"github.com/beam-cloud/clip/pkg/storage"
	"github.com/tidwall/btree"
)

// node is a CLIP node with its byte strings as bytes (base64 in JSON), since paths need not be UTF-8.
type node struct {
	NodeType    string
	Path        []byte
	Target      []byte
	ContentHash string
	DataPos     int64
	DataLen     int64
	Attr        attr
	Remote      *common.RemoteRef
}

type attr struct {
	Ino                             uint64 `json:",string"`
	Size, Blocks                    uint64
	Atime, Mtime, Ctime             int64
	Atimensec, Mtimensec, Ctimensec uint32
	Mode, Nlink, Uid, Gid           uint32
	Rdev, Blksize                   uint32
}

type content struct {
	Path  []byte
	Bytes []byte
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "clip-reader:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if err := clip.SetLogLevel("disabled"); err != nil {
		return err
	}
	if len(args) < 2 {
		return fmt.Errorf("usage: clip-reader list|storage|read|index|mount ...")
	}
	switch args[0] {
	case "list":
		return list(args[1])
	case "storage":
		return storageInfo(args[1])
	case "read":
		return read(args[1:])
	case "index":
		return index(args[1:])
	case "mount":
		return mount(args[1:])
	}
	return fmt.Errorf("unknown command %q", args[0])
}

func list(archive string) error {
	metadata, err := clip.NewClipArchiver().ExtractMetadata(archive)
	if err != nil {
		return err
	}
	return writeLines(func(write func(any) error) error {
		var failure error
		metadata.Index.Ascend(metadata.Index.Min(), func(item any) bool {
			failure = write(toNode(item.(*common.ClipNode)))
			return failure == nil
		})
		return failure
	})
}

func toNode(n *common.ClipNode) node {
	a := n.Attr
	return node{
		NodeType: string(n.NodeType), Path: []byte(n.Path), Target: []byte(n.Target), ContentHash: n.ContentHash,
		DataPos: n.DataPos, DataLen: n.DataLen, Remote: n.Remote,
		Attr: attr{
			Ino: a.Ino, Size: a.Size, Blocks: a.Blocks,
			Atime: int64(a.Atime), Mtime: int64(a.Mtime), Ctime: int64(a.Ctime),
			Atimensec: a.Atimensec, Mtimensec: a.Mtimensec, Ctimensec: a.Ctimensec,
			Mode: a.Mode, Nlink: a.Nlink, Uid: a.Owner.Uid, Gid: a.Owner.Gid, Rdev: a.Rdev, Blksize: a.Blksize,
		},
	}
}

func storageInfo(archive string) error {
	metadata, err := clip.NewClipArchiver().ExtractMetadata(archive)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(metadata.StorageInfo)
}

// read gives the bytes of the named files; without names, of every file that the index says is in a layer.
//
// This version of the module joins repository and reference with a colon and so cannot open a reference that is a
// digest; its successors join a digest with "@". -tag puts a tag of the same image in place of the digest.
func read(args []string) error {
	flags := flag.NewFlagSet("read", flag.ContinueOnError)
	tag := flags.String("tag", "", "tag to read through instead of the stored digest")
	if err := flags.Parse(args); err != nil {
		return err
	}
	archive, paths := flags.Arg(0), flags.Args()[1:]
	metadata, err := clip.NewClipArchiver().ExtractMetadata(archive)
	if err != nil {
		return err
	}
	if info, ok := metadata.StorageInfo.(common.OCIStorageInfo); ok && *tag != "" {
		info.Reference = *tag
		metadata.StorageInfo = info
	}
	cache, err := os.MkdirTemp("", "clip-reader-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(cache)
	files, err := storage.NewClipStorage(storage.ClipStorageOpts{ArchivePath: archive, CachePath: cache, Metadata: metadata})
	if err != nil {
		return err
	}
	defer files.Cleanup()
	nodes, err := wanted(metadata.Index, metadata, paths)
	if err != nil {
		return err
	}
	return writeLines(func(write func(any) error) error {
		for _, n := range nodes {
			buffer := make([]byte, n.Attr.Size)
			count, err := files.ReadFile(n, buffer, 0)
			if err != nil && err != io.EOF {
				return fmt.Errorf("%q: %w", n.Path, err)
			}
			if err := write(content{Path: []byte(n.Path), Bytes: buffer[:count]}); err != nil {
				return err
			}
		}
		return nil
	})
}

func wanted(tree *btree.BTree, metadata *common.ClipArchiveMetadata, paths []string) ([]*common.ClipNode, error) {
	var nodes []*common.ClipNode
	for _, path := range paths {
		n := metadata.Get(path)
		if n == nil {
			return nil, fmt.Errorf("%q is not in the archive", path)
		}
		nodes = append(nodes, n)
	}
	if len(paths) > 0 {
		return nodes, nil
	}
	tree.Ascend(tree.Min(), func(item any) bool {
		if n := item.(*common.ClipNode); n.NodeType == common.FileNode && (n.Remote != nil || n.DataLen > 0) {
			nodes = append(nodes, n)
		}
		return true
	})
	return nodes, nil
}

func index(args []string) error {
	flags := flag.NewFlagSet("index", flag.ContinueOnError)
	image := flags.String("image", "", "image reference")
	out := flags.String("out", "", "archive to write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	start := time.Now()
	err := clip.CreateFromOCIImage(context.Background(), clip.CreateFromOCIImageOptions{ImageRef: *image, OutputPath: *out, CheckpointMiB: 2})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"image": *image, "seconds": time.Since(start).Seconds()})
}

func mount(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: clip-reader mount ARCHIVE DIR")
	}
	start := time.Now()
	serve, failed, server, err := clip.MountArchive(clip.MountOptions{ArchivePath: args[0], MountPoint: args[1]})
	if err != nil {
		return err
	}
	if err := serve(); err != nil {
		return err
	}
	if err := server.WaitMount(); err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"seconds": time.Since(start).Seconds()}); err != nil {
		return err
	}
	return <-failed
}

func writeLines(body func(write func(any) error) error) error {
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	encoder := json.NewEncoder(out)
	if err := body(encoder.Encode); err != nil {
		return err
	}
	return out.Flush()
}

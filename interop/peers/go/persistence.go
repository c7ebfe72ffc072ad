package main

import (
	"context"
	"encoding/json"

	"github.com/AzureAD/microsoft-authentication-extensions-for-go/cache"
	"github.com/AzureAD/microsoft-authentication-extensions-for-go/cache/accessor"
	"github.com/AzureAD/microsoft-authentication-extensions-for-go/cache/accessor/file"
	msalcache "github.com/AzureAD/microsoft-authentication-library-for-go/apps/cache"
)

// openCache returns the extension's cache over the plaintext file. The file is its own time stamp, as it is where an
// application shares it, so the lock is path + ".lockfile".
func openCache(path string) (*cache.Cache, error) {
	storage, err := file.New(path)
	if err != nil {
		return nil, err
	}
	return cache.New(storage, path)
}

// underLock runs a function while the extension holds its lock: the extension locks around the write of its accessor
// alone, and its lock is not public.
func underLock(ctx context.Context, path string, inside func(context.Context, accessor.Accessor) error) error {
	storage, err := file.New(path)
	if err != nil {
		return err
	}
	locked, err := cache.New(insideWrite{storage, inside}, path)
	if err != nil {
		return err
	}
	return locked.Export(ctx, noDocument{}, msalcache.ExportHints{})
}

// insideWrite is an accessor whose write is a function over the accessor in it.
type insideWrite struct {
	accessor.Accessor
	inside func(context.Context, accessor.Accessor) error
}

func (i insideWrite) Write(ctx context.Context, _ []byte) error {
	return i.inside(ctx, i.Accessor)
}

// noDocument stands for the memory of a client, which the functions under the lock do not need.
type noDocument struct{}

func (noDocument) Marshal() ([]byte, error) { return nil, nil }

// document is a stored cache: section, key, entity.
type document map[string]map[string]map[string]any

func readDocument(ctx context.Context, path string) (document, error) {
	storage, err := file.New(path)
	if err != nil {
		return nil, err
	}
	text, err := storage.Read(ctx)
	if err != nil || len(text) == 0 {
		return nil, err
	}
	var d document
	return d, json.Unmarshal(text, &d)
}

// find returns the first entity of a section whose fields have these values, or nil.
func (d document) find(section string, fields map[string]any) map[string]any {
next:
	for _, entity := range d[section] {
		for name, value := range fields {
			if entity[name] != value {
				continue next
			}
		}
		return entity
	}
	return nil
}

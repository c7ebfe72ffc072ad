// A peer of the interop suite: MSAL Go and the file accessor of its extensions, driven through their public APIs.
// The commands, their output and flows.json are described in the README of the folder above.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

// Exit statuses of every peer.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitUnsupported = 3
)

// unsupported says why the library does not have what was asked for.
type unsupported string

func (u unsupported) Error() string { return string(u) }

// arguments are the options of all commands; each command reads those that it has.
type arguments struct {
	flow, cache, tag, mode, progress string
	count                            int
	holdMs, pauseMs, startAt         float64
}

// commands maps a command to the options that it requires and to what it does.
var commands = map[string]struct {
	required []string
	run      func(context.Context, arguments) error
}{
	"versions": {nil, versions},
	"sign-in":  {[]string{"flow", "cache"}, signIn},
	"silent":   {[]string{"flow", "cache"}, silent},
	"refresh":  {[]string{"flow", "cache"}, refresh},
	"remove":   {[]string{"cache"}, remove},
	"hold":     {[]string{"cache", "hold-ms"}, hold},
	"write":    {[]string{"cache", "tag", "count", "mode"}, write},
}

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	if len(args) == 0 {
		return usage("no command")
	}
	command, known := commands[args[0]]
	if !known {
		return usage("unknown command " + args[0])
	}
	a, err := parse(args[1:], command.required)
	if err != nil {
		return usage(err.Error())
	}
	err = command.run(context.Background(), a)
	var missing unsupported
	switch {
	case err == nil:
		return 0
	case errors.As(err, &missing):
		emit(map[string]any{"unsupported": err.Error()})
		return exitUnsupported
	default:
		emit(map[string]any{"error": err.Error()})
		return exitFailed
	}
}

func parse(args, required []string) (arguments, error) {
	var a arguments
	options := flag.NewFlagSet("peer", flag.ContinueOnError)
	options.SetOutput(io.Discard)
	options.StringVar(&a.flow, "flow", "", "name of a flow in flows.json")
	options.StringVar(&a.cache, "cache", "", "path of the cache file")
	options.StringVar(&a.tag, "tag", "", "name of this writer")
	options.StringVar(&a.mode, "mode", "", "raw or library")
	options.StringVar(&a.progress, "progress", "no", "yes: a line after each update")
	options.IntVar(&a.count, "count", 0, "number of updates")
	options.Float64Var(&a.holdMs, "hold-ms", 0, "time to hold the lock")
	options.Float64Var(&a.pauseMs, "pause-ms", 0, "mean pause between updates")
	options.Float64Var(&a.startAt, "start-at", 0, "Unix time of the first update")
	if err := options.Parse(args); err != nil {
		return a, err
	}
	if options.NArg() > 0 {
		return a, fmt.Errorf("unexpected argument %q", options.Arg(0))
	}
	given := map[string]bool{}
	options.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for _, name := range required {
		if !given[name] {
			return a, fmt.Errorf("--%s is missing", name)
		}
	}
	if given["mode"] && a.mode != "raw" && a.mode != "library" {
		return a, fmt.Errorf("--mode is raw or library, not %q", a.mode)
	}
	return a, nil
}

func usage(problem string) int {
	fmt.Fprintln(os.Stderr, problem)
	fmt.Fprintln(os.Stderr, "usage: peer versions | sign-in | silent | refresh | remove | hold | write [--option value]...")
	return exitUsage
}

// emit prints one line of the protocol.
func emit(line any) {
	text, err := json.Marshal(line)
	if err != nil {
		panic(err) // a line is made of plain maps, lists and texts
	}
	fmt.Println(string(text))
}

func milliseconds(ms float64) time.Duration {
	return time.Duration(ms * float64(time.Millisecond))
}

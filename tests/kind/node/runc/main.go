// Command runc stands before the real runc on machines whose capability bounding set lacks CAP_SYS_RESOURCE:
// it drops that capability and negative OOM scores from the OCI spec, which runc would refuse to apply.
// Where the capability is there, it changes nothing.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

const (
	realRunc       = "/usr/sbin/runc"
	capSysResource = 24
)

func capabilityIsMissing() bool {
	status, _ := os.ReadFile("/proc/self/status")
	var bounding uint64
	if _, after, found := strings.Cut(string(status), "CapBnd:"); found {
		fmt.Sscanf(after, "%x", &bounding)
	}
	return bounding&(1<<capSysResource) == 0
}

// option finds the value of a flag given as "--name value" or "--name=value".
func option(args []string, names ...string) string {
	for i, arg := range args {
		for _, name := range names {
			if arg == name && i+1 < len(args) {
				return args[i+1]
			}
			if value, found := strings.CutPrefix(arg, name+"="); found {
				return value
			}
		}
	}
	return ""
}

func relax(process map[string]any) {
	capabilities, _ := process["capabilities"].(map[string]any)
	for set, names := range capabilities {
		list, _ := names.([]any)
		capabilities[set] = slices.DeleteFunc(list, func(name any) bool { return name == "CAP_SYS_RESOURCE" })
	}
	if score, ok := process["oomScoreAdj"].(float64); ok && score < 0 {
		process["oomScoreAdj"] = 0
	}
}

// rewrite edits a JSON file in place; what cannot be read is left for the real runc to complain about.
func rewrite(path string, edit func(map[string]any)) {
	content, err := os.ReadFile(path)
	document := map[string]any{}
	if err != nil || json.Unmarshal(content, &document) != nil {
		return
	}
	edit(document)
	if content, err = json.Marshal(document); err == nil {
		os.WriteFile(path, content, 0o600)
	}
}

func main() {
	args := os.Args[1:]
	if capabilityIsMissing() {
		switch {
		case slices.Contains(args, "create"), slices.Contains(args, "run"):
			rewrite(filepath.Join(option(args, "--bundle", "-b"), "config.json"), func(spec map[string]any) {
				if process, ok := spec["process"].(map[string]any); ok {
					relax(process)
				}
			})
		case slices.Contains(args, "exec"):
			rewrite(option(args, "--process", "-p"), relax)
		}
	}
	err := syscall.Exec(realRunc, append([]string{"runc"}, args...), os.Environ())
	fmt.Fprintln(os.Stderr, realRunc+":", err)
	os.Exit(127)
}

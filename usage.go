package main

import (
	"fmt"
	"strings"
)

// misuse says what is wrong with a command line that is none of those in usage. "" means that it
// does not know.
func misuse(args []string) string {
	seen := make(map[string]bool)
	for i := 0; i < len(args); i++ {
		arg := args[i]
		option := arg
		switch {
		case arg == "-c":
			if i++; i == len(args) {
				return "-c needs the name of a configuration file after it"
			}
		case strings.HasPrefix(arg, "-c"):
			option = "-c"
		case arg == "--check", arg == "--unsecure", arg == "--insecure":
		case arg == "-h", arg == "--help", arg == "--version":
			return ""
		case strings.HasPrefix(arg, "-") && arg != "-":
			return fmt.Sprintf("there is no option %q", arg)
		default:
			return fmt.Sprintf("%q is neither an option nor the value of one; a configuration file is named with -c", arg)
		}
		if seen[option] {
			return option + " is given twice"
		}
		seen[option] = true
	}
	if seen["--unsecure"] && seen["--insecure"] {
		return "--unsecure and --insecure mean the same: give one of them"
	}
	return ""
}

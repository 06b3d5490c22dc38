package main

import (
	"fmt"
	"strings"
)

// quoted is a word of a shell, in single quotes; all of the three shells read them alike, but for the
// escape, which is of sh and zsh.
func quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// bashCompletion is for bash.
func bashCompletion(u usage) string {
	words := append([]string{}, u.commands...)
	var files []string
	for _, o := range u.options {
		words = append(words, o.names...)
		if o.namesFile() {
			files = append(files, o.names...)
		}
	}
	return fmt.Sprintf(`# Completion of sould for bash.
_sould() {
    COMPREPLY=()
    case ${COMP_WORDS[COMP_CWORD - 1]} in
    %s)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
        ;;
    *) mapfile -t COMPREPLY < <(compgen -W %s -- "${COMP_WORDS[COMP_CWORD]}") ;;
    esac
}
complete -F _sould sould
`, strings.Join(files, " | "), quoted(strings.Join(words, " ")))
}

// zshCompletion is for zsh.
func zshCompletion(u usage) string {
	var b strings.Builder
	b.WriteString("#compdef sould\n# Completion of sould for zsh.\n_arguments -S")
	for _, o := range u.options {
		for _, name := range o.names {
			spec := name + "[" + strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`).Replace(o.about) + "]"
			if o.argument != "" {
				spec += ":" + strings.Trim(o.argument, "<>") + ":"
			}
			if o.namesFile() {
				spec += "_files"
			}
			b.WriteString(" \\\n    " + quoted(spec))
		}
	}
	if len(u.commands) > 0 {
		b.WriteString(" \\\n    " + quoted("1::command:("+strings.Join(u.commands, " ")+")"))
	}
	return b.String() + "\n"
}

// fishCompletion is for fish.
func fishCompletion(u usage) string {
	var b strings.Builder
	b.WriteString("# Completion of sould for fish.\ncomplete -c sould -f\n")
	for _, o := range u.options {
		b.WriteString("complete -c sould")
		for _, name := range o.names {
			if long, ok := strings.CutPrefix(name, "--"); ok {
				b.WriteString(" -l " + long)
			} else {
				b.WriteString(" -s " + name[1:])
			}
		}
		if o.argument != "" {
			b.WriteString(" -r")
		}
		if o.namesFile() {
			b.WriteString(" -F")
		}
		b.WriteString(" -d '" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(o.about) + "'\n")
	}
	for _, command := range u.commands {
		b.WriteString("complete -c sould -n __fish_use_subcommand -a " + command + "\n")
	}
	return b.String()
}

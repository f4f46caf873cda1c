package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// fence is a block of a page: what it is, and its text.
var fence = regexp.MustCompile("(?ms)^```([^\n]*)\n(.*?)^```$")

// TestDocs runs the sh blocks of every page, in order, in a folder that holds
// only models, and looks for its Go blocks in the files that they name.
func TestDocs(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(page), func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Symlink(filepath.Join(root, "models"), filepath.Join(dir, "models")); err != nil {
				t.Fatal(err)
			}
			for _, block := range fence.FindAllStringSubmatch(string(text), -1) {
				kind, file, _ := strings.Cut(block[1], " ")
				switch kind {
				case "sh":
					runBlock(t, dir, block[2])
				case "go":
					source, err := os.ReadFile(filepath.Join(root, file))
					if err != nil || !strings.Contains(string(source), block[2]) {
						t.Errorf("%s does not hold (%v)\n%s", file, err, block[2])
					}
				case "console", "text", "yaml":
				default:
					t.Errorf("a block of kind %q", block[1])
				}
			}
		})
	}
}

func runBlock(t *testing.T, dir, commands string) {
	t.Helper()
	c := exec.Command("sh", "-eu", "-c", commands)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v in\n%s\n%s", err, commands, out)
	}
}

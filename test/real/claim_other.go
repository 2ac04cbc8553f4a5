//go:build unix && !linux

package real

// claim lets programs take the same port; where it matters, Linux is at hand.
func claim(int) bool { return true }

//go:build !linux

package thread

// Own starts f; there are no namespaces to leave.
func Own(f func()) { go f() }

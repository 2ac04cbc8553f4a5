package exposition

import "hash/fnv"

// Shard is one of Of parts into which the nodes are divided by a hash of their
// names, so that several scrapes take a very large cluster in turn: each node
// is in exactly one, whichever agent is asked. The zero value is all of them.
type Shard struct{ Index, Of int }

// Has reports whether a node is in the shard.
func (s Shard) Has(node string) bool {
	if s.Of == 0 {
		return true
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(node)) // a hash takes everything
	return int(h.Sum32()%uint32(s.Of)) == s.Index
}

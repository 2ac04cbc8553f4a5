package exposition

import (
	"fmt"
	"testing"
)

func TestEachNodeIsInOneShard(t *testing.T) {
	const shards, nodes = 3, 3000
	size := [shards]int{}
	for i := range nodes {
		name, in := fmt.Sprintf("node-%d", i), 0
		for index := range shards {
			if (Shard{index, shards}).Has(name) {
				size[index]++
				in++
			}
		}
		if in != 1 || !(Shard{}).Has(name) {
			t.Fatalf("%s is in %d shards", name, in)
		}
	}
	for index, n := range size {
		if n < nodes/shards*9/10 || n > nodes/shards*11/10 {
			t.Errorf("shard %d has %d of %d nodes", index, n, nodes)
		}
	}
}

package real

import "testing"

func TestFreePortIsNobodyElses(t *testing.T) {
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	if claim(port) {
		t.Errorf("port %d can be claimed twice", port)
	}
	if !isFree(port) {
		t.Errorf("port %d is not free", port)
	}
}

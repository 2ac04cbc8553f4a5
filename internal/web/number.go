package web

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// Number is a float64 whose JSON can also hold what JSON's own numbers
// cannot: "NaN", "+Inf" and "-Inf", as strings.
type Number float64

// MarshalJSON writes a number, or a string for the three that are none.
func (n Number) MarshalJSON() ([]byte, error) {
	f := float64(n)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return json.Marshal(strconv.FormatFloat(f, 'g', -1, 64))
	}
	return json.Marshal(f)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (n *Number) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return json.Unmarshal(text, (*float64)(n))
	}
	switch s {
	case "NaN", "+Inf", "-Inf":
		f, err := strconv.ParseFloat(s, 64)
		*n = Number(f)
		return err
	}
	return fmt.Errorf("%q is not a number", s)
}

package smoke

import "context"

type run struct{ s Settings }

func newRun(_ *Client, s Settings, _ Options) *run { return &run{s} }

func (r *run) do(context.Context) Report { return Report{} }

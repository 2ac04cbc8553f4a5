package smoke

import (
	"encoding/json"
	"net/netip"
)

// TaskVariable is the environment variable that tells a pod what to do, as
// JSON of a Task.
const TaskVariable = "GRAPEVINE_SMOKE"

// echoPort is where servers answer, TCP and UDP. On heardPort they take the
// names of nodes by UDP, which they do not answer, and tell them over TCP.
const (
	echoPort  = 7998
	heardPort = 7999
)

// Task is what a pod of a run is to do. Fields are added, never changed: the
// image may be older than the runner.
type Task struct {
	// Key signs what servers and clients say. It is of this run alone and
	// keeps nothing secret: that the servers of another run, or whoever has got
	// an old address, cannot answer in their place.
	Key  string `json:"key"`
	Run  string `json:"run"`
	Node string `json:"node"`
	// Seconds after which the pod ends by itself, of a client those that each
	// of its steps may take.
	Seconds float64 `json:"seconds"`
	// Steps are those a client takes: pod-tcp, pod-udp, service, dns, api,
	// policy, volume.
	Steps []string `json:"steps,omitempty"`
	// Peer is the server on the other node, Beside that on the same one.
	Peer   Peer `json:"peer,omitzero"`
	Beside Peer `json:"beside,omitzero"`
	// Service is the cluster address of both servers, Name its name.
	Service netip.AddrPort `json:"service,omitzero"`
	Name    string         `json:"name,omitempty"`
	// Guarded is a server that a policy guards; Peer is one that none guards.
	Guarded Peer `json:"guarded,omitzero"`
	// Dir is where a volume is mounted.
	Dir string `json:"dir,omitempty"`
	// EndSandbox lets a server, when its time is up, also end what keeps the
	// sandbox: nobody else does where there is no kubelet.
	EndSandbox bool `json:"end_sandbox,omitempty"`
}

// text is the task as a pod takes it.
func (t Task) text() string {
	text, _ := json.Marshal(t) // strings and numbers
	return string(text)
}

// Peer is a server.
type Peer struct {
	Node  string       `json:"node,omitempty"`
	Addrs []netip.Addr `json:"addrs,omitempty"`
}

// Finding is what a client has seen in one step.
type Finding struct {
	Step    string  `json:"step"`
	Seconds float64 `json:"seconds"`
	// Fault is why it did not go well, to go on after the client's node; empty:
	// it did.
	Fault string `json:"fault,omitempty"`
	// Partly: it went well, but not as it should.
	Partly bool `json:"partly,omitempty"`
	// Heard tells whether what the client on the other node sends arrives at
	// the server beside this one. It is asked when the other server does not
	// answer; nil: it was not, or that is not known.
	Heard *bool `json:"heard,omitempty"`
}

// Findings are what a client leaves as its termination message.
type Findings struct {
	Node     string    `json:"node"`
	Findings []Finding `json:"findings"`
}

// maxFindings is what Kubernetes keeps of a termination message, in bytes.
const maxFindings = 4096

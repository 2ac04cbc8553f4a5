//go:build tools

// Package kube pins the Kubernetes control plane that component tests run against.
package kube

import _ "k8s.io/kubernetes/cmd/kube-apiserver"

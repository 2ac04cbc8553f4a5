package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/grapevine-mesh/grapevine/internal/pki"
)

func keygenCommand(app *kingpin.Application, actions map[string]action) {
	cmd := app.Command("keygen", "Make the keys of the mesh.")

	gossip := cmd.Command("gossip", "Print a new gossip key, for --mesh.key-file on every node.").Default()
	actions[gossip.FullCommand()] = func(_ context.Context, stdout, _ io.Writer) (int, error) {
		var key [32]byte
		if _, err := rand.Read(key[:]); err != nil {
			return 0, err
		}
		_, err := fmt.Fprintln(stdout, base64.StdEncoding.EncodeToString(key[:]))
		return 0, err
	}

	ca := cmd.Command("ca", "Make a certificate authority for the mesh.")
	caDir := ca.Flag("dir", "Directory to write to.").Required().String()
	var caValid time.Duration
	spanOf(ca.Flag("valid", "How long it is valid."), "87600h", &caValid)
	actions[ca.FullCommand()] = func(_ context.Context, stdout, _ io.Writer) (int, error) {
		if err := pki.NewCA(*caDir, caValid); err != nil {
			return 0, fmt.Errorf("keygen ca: %w", err)
		}
		_, err := fmt.Fprintf(stdout, "wrote %s, for --mesh.tls-ca on every node, and %s: keep it off the nodes\n",
			filepath.Join(*caDir, pki.CAFile), filepath.Join(*caDir, pki.CAKeyFile))
		return 0, err
	}

	cert := cmd.Command("cert", "Make a node's certificate, signed by the authority in --dir.")
	certDir := cert.Flag("dir", "Directory of the authority; the certificate is written there too.").Required().String()
	node := cert.Flag("node", "The node's name, as in --node.name.").Required().String()
	hosts := cert.Flag("host", "A further name or address for the certificate; repeatable.").Strings()
	var valid time.Duration
	spanOf(cert.Flag("valid", "How long it is valid."), "8760h", &valid)
	actions[cert.FullCommand()] = func(_ context.Context, stdout, _ io.Writer) (int, error) {
		if err := pki.NewCertificate(*certDir, *node, *hosts, valid); err != nil {
			return 0, fmt.Errorf("keygen cert: %w", err)
		}
		_, err := fmt.Fprintf(stdout, "wrote %s and %s, for --mesh.tls-cert and --mesh.tls-key on %s, valid until %s\n",
			filepath.Join(*certDir, *node+".crt"), filepath.Join(*certDir, *node+".key"), *node, time.Now().Add(valid).Format(time.DateOnly))
		return 0, err
	}
}

// Command kubectl is kubectl, built from Kubernetes' own modules at the version that go.mod pins.
//
// The tests need its `kustomize`, and Debian 12's package is older than what today's kustomizations say.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
)

func main() {
	os.Exit(cli.Run(cmd.NewDefaultKubectlCommand()))
}

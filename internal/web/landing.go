package web

import (
	"html"
	"net/http"

	"github.com/prometheus/exporter-toolkit/web"
)

func landingPage(cfg Config) http.Handler {
	page, err := web.NewLandingPage(web.LandingConfig{
		Name:        "Grapevine",
		Description: "Node " + html.EscapeString(cfg.Node) + ", answering for the whole cluster",
		Version:     html.EscapeString(cfg.Version),
		Profiling:   "false", // the profiles are for this host only
		Links: []web.LandingLinks{
			{Address: MetricsPath, Text: "Metrics of the cluster", Description: "scrape this path of any one node, " +
				"and you have every node's series; scraping it from all of them stores everything as often as there are nodes."},
			{Address: LocalMetricsPath, Text: "Metrics of this node", Description: "scrape this path of every node, " +
				"as the service discovery lists them, if Prometheus is to reach each node by itself."},
			{Address: DiscoveryPath, Text: "Service discovery", Description: "every live node, for http_sd_configs."},
			{Address: StatusPath, Text: "Status", Description: "the cluster's health, problems first, as JSON."},
			{Address: MembersPath, Text: "Members", Description: "who is in the mesh, as JSON."},
			{Address: ReadyPath, Text: "Ready", Description: "whether this node can answer for the cluster."},
			{Address: HealthyPath, Text: "Healthy", Description: "whether this process serves."},
		},
	})
	if err != nil {
		panic(err) // the template and all but two fields are constants
	}
	return page
}

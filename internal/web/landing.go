package web

import (
	"html"
	"net/http"

	"github.com/prometheus/exporter-toolkit/web"
)

// twoWays tells whoever is about to write a scrape job which path is meant for
// what. To take the one for the other costs as much again as there are nodes.
const twoWays = `
<h2>Two ways to scrape</h2>
<table>
<tr><th></th><th>One node for all</th><th>Every node for itself</th></tr>
<tr><th>path</th><td><code>/metrics</code></td><td><code>/metrics/local</code></td></tr>
<tr><th>targets</th><td>one node, or an address behind which any living node answers</td><td>all nodes, as <code>/sd</code> lists them</td></tr>
<tr><th>answer</th><td>every node's series</td><td>that node's own series</td></tr>
<tr><th>1,000 nodes with 100 series each</th><td>100,000 series are stored</td><td>100,000 series are stored</td></tr>
</table>
<p><strong>Do not scrape <code>/metrics</code> of every node.</strong> Each answers for all, so everything is stored as often as
there are nodes: 100,000,000 series instead of 100,000. <code>grapevine_mesh_cluster_scraped_nodes</code> tells how many nodes
have answered for all in the last five minutes. One is enough, and two are usual where two Prometheus servers stand in for each
other.</p>
<h2>All paths</h2>
<ul>
<li><a href="` + MetricsPath + `">` + MetricsPath + `</a>: every node's series. <code>node=NAME</code>, <code>collect[]=CHECK</code> and <code>shard=i/n</code> ask for a part.</li>
<li><a href="` + LocalMetricsPath + `">` + LocalMetricsPath + `</a>: this node's own series.</li>
<li><a href="` + DiscoveryPath + `">` + DiscoveryPath + `</a>: every live node, for http_sd_configs.</li>
<li><a href="` + StatusPath + `">` + StatusPath + `</a>: the cluster's health, problems first, as JSON.</li>
<li><a href="` + MembersPath + `">` + MembersPath + `</a>: who is in the mesh, as JSON.</li>
<li><a href="` + ReadyPath + `">` + ReadyPath + `</a>: whether this node can answer for the cluster.</li>
<li><a href="` + HealthyPath + `">` + HealthyPath + `</a>: whether this process serves.</li>
</ul>
`

const twoWaysStyle = `
main { max-width: 60rem; line-height: 1.4; }
table { border-collapse: collapse; }
th, td { border: 1px solid #bbb; padding: .3rem .6rem; text-align: left; vertical-align: top; font-weight: normal; }
tr:first-child th { font-weight: bold; }
`

func landingPage(cfg Config) http.Handler {
	page, err := web.NewLandingPage(web.LandingConfig{
		Name:        "Grapevine",
		Description: "Node " + html.EscapeString(cfg.Node) + ", answering for the whole cluster",
		Version:     html.EscapeString(cfg.Version),
		Profiling:   "false", // the profiles are for this host only
		ExtraHTML:   twoWays,
		ExtraCSS:    twoWaysStyle,
	})
	if err != nil {
		panic(err) // the template and all but two fields are constants
	}
	return page
}

package web

import (
	"crypto/sha256"
	_ "embed" // the files below
	"encoding/hex"
	"net/http"

	"github.com/go-chi/chi/v5"
)

//go:embed assets/page.css
var pageCSS []byte

//go:embed assets/page.js
var pageJS []byte

//go:embed assets/icon.svg
var pageIcon []byte

// assets are the addresses of what a page loads. Each holds the hash of its
// content, so that a browser may keep it for ever.
type assets struct{ CSS, JS, Icon string }

func newAssets() assets {
	return assets{
		CSS:  assetPath("page", pageCSS, ".css"),
		JS:   assetPath("page", pageJS, ".js"),
		Icon: assetPath("icon", pageIcon, ".svg"),
	}
}

func assetPath(name string, content []byte, suffix string) string {
	sum := sha256.Sum256(content)
	return "/assets/" + name + "." + hex.EncodeToString(sum[:6]) + suffix
}

func (a assets) routes(r chi.Router) {
	for _, asset := range []struct {
		path, contentType string
		content           []byte
	}{
		{a.CSS, "text/css; charset=utf-8", pageCSS},
		{a.JS, "text/javascript; charset=utf-8", pageJS},
		{a.Icon, "image/svg+xml", pageIcon},
	} {
		get(r, asset.path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
			writeBody(w, http.StatusOK, asset.contentType, asset.content)
		})
	}
}

package uploadpack

import (
	"github.com/reconquest/sould/internal/pktline"
	"github.com/reconquest/sould/internal/storage"
)

// bundleURI is the command of version 2 by which a client asks with which bundle it may begin
// (gitprotocol-v2(5), "bundle-uri"), and the capability that tells it that it may.
const bundleURI = "bundle-uri"

// bundleList is the answer to that: the bundle of a mirror that has this id, or none if it is empty.
// Its URI is relative to the one that the client has for the mirror, since only the client knows by
// which name it reaches this server.
func bundleList(name storage.Name, id string) []byte {
	if id == "" {
		return []byte(pktline.Flush)
	}
	b := pktline.Append(nil, "bundle.version=1")
	b = pktline.Append(b, "bundle.mode=all")
	b = pktline.Append(b, "bundle.mirror.uri=../", name.Base(), "?format=bundle&id=", id)
	return append(b, pktline.Flush...)
}

package spool

import "container/list"

// maxRecent is how many keys a lane remembers that were asked for.
const maxRecent = 16 << 10

// recent remembers which keys were asked for lately. Of those that are asked for once, however
// many they are, nothing but the key is remembered. The zero value is ready for use.
type recent struct {
	order list.List // of file names, the oldest first
	by    map[string]*list.Element
}

// add remembers a key by its file's name, and reports whether it was remembered already.
func (r *recent) add(name string) bool {
	if one := r.by[name]; one != nil {
		r.order.MoveToBack(one)
		return true
	}
	if r.by == nil {
		r.by = make(map[string]*list.Element)
	}
	if r.order.Len() >= maxRecent {
		delete(r.by, r.order.Remove(r.order.Front()).(string))
	}
	r.by[name] = r.order.PushBack(name)
	return false
}

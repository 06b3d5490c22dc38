package conn

import "context"

// WhileAlive returns a context that ends with a client's, or with the life of the server, whose cause is
// its own then. end frees what it needs.
func WhileAlive(client, life context.Context) (ctx context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(client)
	stop := context.AfterFunc(life, func() { cancel(context.Cause(life)) })
	return ctx, func() { stop(); cancel(nil) }
}

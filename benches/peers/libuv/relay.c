/* Between the peer and a backend: two connections, each of which writes what the other reads. */

#include "server.h"

struct sockaddr_in relay_backend;

typedef struct side side;

struct side {
    connection base;
    side *other;
    uv_connect_t connecting;
    uv_shutdown_t ending;
    /* Its end of file came. */
    bool done;
};

static void received(connection *base, const char *data, size_t length)
{
    side *self = (side *)base;
    /* Nothing is read while something is queued for the other, so the queue is one block at most. */
    if (!connection_send(&self->other->base, data, length))
        connection_pause(base);
}

static void drained(connection *base)
{
    side *self = (side *)base;
    if (!self->other->done)
        connection_read(&self->other->base);
}

static void on_ended(uv_shutdown_t *request, int status)
{
    side *self = (side *)request->handle;
    if (status != 0 || (self->done && self->other && self->other->done))
        connection_close(&self->base);
}

/* The end of one direction; what is queued for the other side goes before it. */
static void ended(connection *base)
{
    side *self = (side *)base;
    self->done = true;
    connection_pause(base);
    if (uv_shutdown(&self->other->ending, (uv_stream_t *)self->other, on_ended) != 0)
        connection_close(base);
}

/* Each closes the other. */
static void closed(connection *base)
{
    side *self = (side *)base;
    if (!self->other)
        return;
    self->other->other = NULL;
    connection_close(&self->other->base);
}

static const behaviour side_behaviour = {
    .received = received,
    .ended = ended,
    .drained = drained,
    .closed = closed,
};

static void on_connected(uv_connect_t *request, int status)
{
    side *self = (side *)request->handle;
    if (status != 0 || !self->other) {
        connection_close(&self->base);
        return;
    }
    connection_read(&self->base);
    connection_read(&self->other->base);
}

static void accepted(connection *base)
{
    side *self = (side *)base;
    side *other = (side *)connection_new(base->tcp.loop, sizeof *other, &side_behaviour);
    if (!other) {
        connection_close(base);
        return;
    }
    self->other = other;
    other->other = self;
    uv_tcp_nodelay(&other->base.tcp, 1);
    const struct sockaddr *address = (const struct sockaddr *)&relay_backend;
    if (uv_tcp_connect(&other->connecting, &other->base.tcp, address, on_connected) != 0)
        connection_close(base);
}

const shape relay_shape = {"relay", sizeof(side), &side_behaviour, accepted};

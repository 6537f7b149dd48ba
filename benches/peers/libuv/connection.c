/* A connection: reading into one block that all share, writing at once or from a queue. */

#include <stdlib.h>
#include <string.h>

#include "server.h"

/* What could not be sent at once. */
typedef struct {
    uv_write_t request;
    char data[];
} queued;

/* One loop, one thread, and whoever is lent it is done before the next read: one block is enough for all. */
static char shared[BLOCK];

static void lend_block(uv_handle_t *handle, size_t suggested, uv_buf_t *block)
{
    (void)handle;
    (void)suggested;
    *block = uv_buf_init(shared, sizeof shared);
}

static void on_read(uv_stream_t *stream, ssize_t length, const uv_buf_t *block)
{
    connection *self = (connection *)stream;
    if (length > 0)
        self->does->received(self, block->base, (size_t)length);
    else if (length == UV_EOF)
        self->does->ended(self);
    else if (length < 0)
        connection_close(self);
}

static void on_closed(uv_handle_t *handle)
{
    connection *self = (connection *)handle;
    if (self->does->closed)
        self->does->closed(self);
    free(self);
}

static void on_written(uv_write_t *request, int status)
{
    connection *self = (connection *)request->handle;
    free(request->data);
    if (status == 0)
        self->does->drained(self);
    else
        connection_close(self);
}

connection *connection_new(uv_loop_t *loop, size_t size, const behaviour *does)
{
    connection *self = calloc(1, size);
    if (!self)
        return NULL;
    self->does = does;
    uv_tcp_init(loop, &self->tcp);
    return self;
}

void connection_accept(uv_stream_t *listener, const shape *which)
{
    connection *self = connection_new(listener->loop, which->size, which->does);
    if (!self)
        return;
    if (uv_accept(listener, (uv_stream_t *)self) != 0 || uv_tcp_nodelay(&self->tcp, 1) != 0) {
        connection_close(self);
        return;
    }
    which->accepted(self);
}

void connection_read(connection *self)
{
    if (!uv_is_closing((uv_handle_t *)self))
        uv_read_start((uv_stream_t *)self, lend_block, on_read);
}

void connection_pause(connection *self)
{
    uv_read_stop((uv_stream_t *)self);
}

static bool queue(connection *self, const char *data, size_t length)
{
    queued *rest = malloc(sizeof *rest + length);
    if (!rest)
        return false;
    memcpy(rest->data, data, length);
    rest->request.data = rest;
    uv_buf_t block = uv_buf_init(rest->data, (unsigned)length);
    if (uv_write(&rest->request, (uv_stream_t *)self, &block, 1, on_written) == 0)
        return true;
    free(rest);
    return false;
}

bool connection_send(connection *self, const char *data, size_t length)
{
    uv_buf_t block = uv_buf_init((char *)data, (unsigned)length);
    int sent = uv_try_write((uv_stream_t *)self, &block, 1);
    if (sent == UV_EAGAIN)
        sent = 0;
    if (sent >= 0 && (size_t)sent == length)
        return true;
    if (sent < 0 || !queue(self, data + sent, length - (size_t)sent))
        connection_close(self);
    return false;
}

void connection_close(connection *self)
{
    if (!uv_is_closing((uv_handle_t *)self))
        uv_close((uv_handle_t *)self, on_closed);
}

void connection_close_ended(connection *self)
{
    connection_close(self);
}

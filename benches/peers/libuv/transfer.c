/* Transfers one way: all that comes, with a digest; as much as is asked for. */

#include "server.h"

char pattern[BLOCK];

typedef struct {
    connection base;
    uint64_t count;
    uint32_t crc;
} sink;

static void sink_received(connection *base, const char *data, size_t length)
{
    sink *self = (sink *)base;
    self->crc = crc32_update(self->crc, data, length);
    self->count += length;
}

static void sink_ended(connection *base)
{
    sink *self = (sink *)base;
    unsigned char answer[12];
    for (int place = 0; place < 8; place++)
        answer[place] = (unsigned char)(self->count >> (56 - 8 * place));
    for (int place = 0; place < 4; place++)
        answer[8 + place] = (unsigned char)(self->crc >> (24 - 8 * place));
    if (connection_send(base, (char *)answer, sizeof answer))
        connection_close(base);
}

static const behaviour sink_behaviour = {
    .received = sink_received,
    .ended = sink_ended,
    .drained = connection_close_ended,
};

const shape sink_shape = {"sink", sizeof(sink), &sink_behaviour, connection_read};

static void on_sent(uv_write_t *request, int status);

/* One block after the other; libuv sends at once what it can, and calls back in its next turn. */
static void send_next(download *self)
{
    if (self->left == 0) {
        connection_close(&self->base);
        return;
    }
    unsigned length = self->left < BLOCK ? (unsigned)self->left : BLOCK;
    if (self->left != UINT64_MAX)
        self->left -= length;
    uv_buf_t block = uv_buf_init(pattern, length);
    if (uv_write(&self->request, (uv_stream_t *)self, &block, 1, on_sent) != 0)
        connection_close(&self->base);
}

static void on_sent(uv_write_t *request, int status)
{
    download *self = (download *)request->handle;
    if (status == 0)
        send_next(self);
    else
        connection_close(&self->base);
}

static void ignore(connection *self, const char *data, size_t length)
{
    (void)self;
    (void)data;
    (void)length;
}

/* The peer's end of file ends its direction alone. */
static void go_on(connection *self)
{
    connection_pause(self);
}

static const behaviour download_behaviour = {.received = ignore, .ended = go_on};

void download_begin(download *self, uint64_t left)
{
    self->base.does = &download_behaviour;
    self->left = left;
    send_next(self);
}

static void source_received(connection *base, const char *data, size_t length)
{
    download *self = (download *)base;
    while (length > 0 && self->have < sizeof self->count) {
        self->count[self->have++] = (unsigned char)*data++;
        length--;
    }
    if (self->have < sizeof self->count)
        return;
    uint64_t count = 0;
    for (size_t place = 0; place < sizeof self->count; place++)
        count = count << 8 | self->count[place];
    download_begin(self, count);
}

static const behaviour source_behaviour = {
    .received = source_received,
    .ended = connection_close_ended,
};

const shape source_shape = {"source", sizeof(download), &source_behaviour, connection_read};

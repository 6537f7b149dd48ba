/* One writer, many readers. A message is copied once, and freed when the last has it; until then its publisher is not read. */

#include <stdlib.h>
#include <string.h>

#include "server.h"

typedef struct member member;

struct member {
    connection base;
    /* A subscriber's place in the list. */
    size_t place;
};

/* What several queues hold. */
typedef struct {
    member *publisher;
    size_t holders;
    size_t length;
    char data[];
} message;

/* One queue's. */
typedef struct {
    uv_write_t request;
    message *what;
} delivery;

static member **subscribers;
static size_t count, capacity;

static bool join(member *self)
{
    if (count == capacity) {
        size_t more = capacity ? 2 * capacity : 64;
        member **grown = realloc(subscribers, more * sizeof *grown);
        if (!grown)
            return false;
        subscribers = grown;
        capacity = more;
    }
    self->place = count;
    subscribers[count++] = self;
    return true;
}

/* The last takes the place of who leaves. */
static void leave(connection *base)
{
    member *self = (member *)base;
    member *last = subscribers[--count];
    subscribers[self->place] = last;
    last->place = self->place;
}

static void let_go(message *what)
{
    if (--what->holders > 0)
        return;
    connection_read(&what->publisher->base);
    free(what);
}

static void on_delivered(uv_write_t *request, int status)
{
    delivery *self = (delivery *)request;
    if (status != 0)
        connection_close((connection *)request->handle);
    let_go(self->what);
    free(self);
}

/* What can be sent at once, is; for the rest the message is held. */
static void deliver(member *to, message *what)
{
    uv_buf_t block = uv_buf_init(what->data, (unsigned)what->length);
    int sent = uv_try_write((uv_stream_t *)to, &block, 1);
    if (sent == UV_EAGAIN)
        sent = 0;
    if (sent >= 0 && (size_t)sent == what->length)
        return;
    delivery *rest = sent < 0 ? NULL : malloc(sizeof *rest);
    if (!rest) {
        connection_close(&to->base);
        return;
    }
    rest->what = what;
    block = uv_buf_init(what->data + sent, (unsigned)(what->length - (size_t)sent));
    if (uv_write(&rest->request, (uv_stream_t *)to, &block, 1, on_delivered) == 0) {
        what->holders++;
    } else {
        free(rest);
        connection_close(&to->base);
    }
}

static void published(connection *base, const char *data, size_t length)
{
    message *what = malloc(sizeof *what + length);
    if (!what) {
        connection_close(base);
        return;
    }
    what->publisher = (member *)base;
    what->holders = 1; /* we */
    what->length = length;
    memcpy(what->data, data, length);
    for (size_t place = 0; place < count; place++)
        if (!uv_is_closing((uv_handle_t *)subscribers[place]))
            deliver(subscribers[place], what);
    if (what->holders > 1)
        connection_pause(base);
    let_go(what);
}

static void ignore(connection *self, const char *data, size_t length)
{
    (void)self;
    (void)data;
    (void)length;
}

/* While a message holds its publisher, nothing is read or written there, so it can't close before. */
static const behaviour publisher_behaviour = {
    .received = published,
    .ended = connection_close_ended,
};

static const behaviour subscriber_behaviour = {
    .received = ignore,
    .ended = connection_close_ended,
    .closed = leave,
};

static void first_received(connection *base, const char *data, size_t length)
{
    if (data[0] == 'P') {
        base->does = &publisher_behaviour;
        if (length > 1)
            published(base, data + 1, length - 1);
    } else if (data[0] == 'S' && join((member *)base)) {
        base->does = &subscriber_behaviour;
    } else {
        connection_close(base);
    }
}

static const behaviour first_behaviour = {
    .received = first_received,
    .ended = connection_close_ended,
};

const shape fanout_shape = {"fanout", sizeof(member), &first_behaviour, connection_read};

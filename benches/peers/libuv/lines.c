/* A line is read, written back and drained, one after the other. */

#include <stdlib.h>
#include <string.h>

#include "server.h"

/* A line may be longer than a block, but not without bound. */
#define LONGEST (1 << 20)

typedef struct {
    connection base;
    /* What came and was not sent back yet: part of a line, or lines behind one that is queued. */
    char *kept;
    size_t length;
    /* How much of it has been searched for a line feed. */
    size_t searched;
} lines;

/* Sends whole lines until one has to be queued; says how many bytes that were. */
static size_t send_lines(lines *self, const char *data, size_t length)
{
    size_t done = 0;
    bool sending = true;
    while (sending) {
        size_t from = done + self->searched;
        const char *feed = memchr(data + from, '\n', length - from);
        if (!feed) {
            self->searched = length - done;
            break;
        }
        self->searched = 0;
        size_t line = (size_t)(feed - data) + 1 - done;
        sending = connection_send(&self->base, data + done, line);
        done += line;
    }
    if (!sending)
        connection_pause(&self->base);
    return done;
}

static void drop_kept(lines *self, size_t done)
{
    self->length -= done;
    if (self->length > 0) {
        memmove(self->kept, self->kept + done, self->length);
    } else {
        free(self->kept);
        self->kept = NULL;
    }
}

static bool keep(lines *self, const char *data, size_t length)
{
    if (length == 0)
        return true;
    char *kept = self->length + length > LONGEST ? NULL : realloc(self->kept, self->length + length);
    if (!kept) {
        connection_close(&self->base);
        return false;
    }
    memcpy(kept + self->length, data, length);
    self->kept = kept;
    self->length += length;
    return true;
}

static void received(connection *base, const char *data, size_t length)
{
    lines *self = (lines *)base;
    if (self->length > 0) {
        if (keep(self, data, length))
            drop_kept(self, send_lines(self, self->kept, self->length));
        return;
    }
    size_t done = send_lines(self, data, length);
    keep(self, data + done, length - done);
}

static void drained(connection *base)
{
    lines *self = (lines *)base;
    connection_read(base);
    if (self->length > 0)
        drop_kept(self, send_lines(self, self->kept, self->length));
}

static void closed(connection *base)
{
    free(((lines *)base)->kept);
}

static const behaviour lines_behaviour = {
    .received = received,
    .ended = connection_close_ended,
    .drained = drained,
    .closed = closed,
};

const shape lines_shape = {"lines", sizeof(lines), &lines_behaviour, connection_read};

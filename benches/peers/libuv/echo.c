/* What comes goes back: alone, and beside downloads that never end. */

#include "server.h"

static void echo_received(connection *self, const char *data, size_t length)
{
    /* Nothing is read while something is queued, so the queue is one block at most. */
    if (!connection_send(self, data, length))
        connection_pause(self);
}

static const behaviour echo_behaviour = {
    .received = echo_received,
    .ended = connection_close_ended,
    .drained = connection_read,
};

const shape echo_shape = {"echo", sizeof(connection), &echo_behaviour, connection_read};

/* The first byte says which: an echo, or a download for ever. */
static void mixed_received(connection *self, const char *data, size_t length)
{
    if (data[0] == 'D') {
        download_begin((download *)self, UINT64_MAX);
    } else if (data[0] == 'E') {
        self->does = &echo_behaviour;
        if (length > 1)
            echo_received(self, data + 1, length - 1);
    } else {
        connection_close(self);
    }
}

static const behaviour mixed_behaviour = {
    .received = mixed_received,
    .ended = connection_close_ended,
};

const shape mixed_shape = {"mixed", sizeof(download), &mixed_behaviour, connection_read};

/* What the files of the libuv server share: connections, and the shapes that they have. */

#ifndef SERVER_H
#define SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

/* What is read at a time, and the length of the repeated pattern. */
#define BLOCK 65536

typedef struct connection connection;

/* What a connection does; it may change while the connection lives (after a first byte that says which). */
typedef struct {
    /* Bytes came: they are lent until the return. */
    void (*received)(connection *self, const char *data, size_t length);
    /* The peer's end of file. */
    void (*ended)(connection *self);
    /* What connection_send had to queue is sent. */
    void (*drained)(connection *self);
    /* It is closed, and freed next. */
    void (*closed)(connection *self);
} behaviour;

struct connection {
    uv_tcp_t tcp; /* first: a handle is its connection */
    const behaviour *does;
};

/* A shape of the contract: its name, the size of its connections (which begin with a `connection`), and what happens after one was
 * accepted; most read. */
typedef struct {
    const char *name;
    size_t size;
    const behaviour *does;
    void (*accepted)(connection *self);
} shape;

extern const shape echo_shape, lines_shape, sink_shape, source_shape, fanout_shape, relay_shape, mixed_shape;

/* Accepts what waits at `listener`, or does nothing when it has gone. */
void connection_accept(uv_stream_t *listener, const shape *which);
/* A connection that is not connected yet. NULL when there is no memory or no descriptor. */
connection *connection_new(uv_loop_t *loop, size_t size, const behaviour *does);
/* Reads, from now on. */
void connection_read(connection *self);
/* Reads no more until connection_read. */
void connection_pause(connection *self);
/* Sends what can be sent at once, and queues a copy of the rest. True when all is sent. False: `drained` will tell, or the connection
 * failed and is being closed. Only for one whose queue is empty. */
bool connection_send(connection *self, const char *data, size_t length);
/* Closes, once; what is queued is lost. */
void connection_close(connection *self);
/* The same as a callback. */
void connection_close_ended(connection *self);

/* Where a relay connects to. */
extern struct sockaddr_in relay_backend;

/* The pattern of BLOCK bytes. */
extern char pattern[BLOCK];
/* Sends the pattern, `left` bytes or (UINT64_MAX) for ever, as fast as the peer reads; then closes. */
typedef struct {
    connection base;
    uv_write_t request;
    uint64_t left;
    unsigned char count[8];
    size_t have;
} download;
void download_begin(download *self, uint64_t left);

/* CRC-32 (IEEE) of more bytes after those of `crc`; 0 to begin with. */
uint32_t crc32_update(uint32_t crc, const char *data, size_t length);

#endif

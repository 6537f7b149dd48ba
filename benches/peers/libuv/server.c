/* The server of benches/src/contract.rs on libuv: one loop, callbacks, one block that all connections read into.
 *
 * Where it differs from the obvious: the obvious echo allocates a block for each read and a request for each write. This one tries to
 * write at once, from the block that was read (uv_try_write), and allocates only for what the kernel does not take; then it reads no
 * more from there until that is sent. A line is written by itself, as it is found. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "server.h"

#define BACKLOG 4096
#define NO_SUCH_SHAPE 3

static const shape *const shapes[] = {
    &echo_shape, &lines_shape, &sink_shape, &source_shape, &fanout_shape, &relay_shape, &mixed_shape,
};

static const shape *shape_named(const char *name)
{
    for (size_t place = 0; place < sizeof shapes / sizeof *shapes; place++)
        if (strcmp(shapes[place]->name, name) == 0)
            return shapes[place];
    return NULL;
}

static void on_connection(uv_stream_t *listener, int status)
{
    if (status == 0)
        connection_accept(listener, listener->data);
}

/* 127.0.0.1:1234 */
static bool read_backend(const char *text)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof host)
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    return uv_ip4_addr(host, atoi(colon + 1), &relay_backend) == 0;
}

/* SHAPE [--backend ADDRESS] [--spin MICROSECONDS]; libuv does not spin. */
static const shape *read_arguments(int count, char **words)
{
    const shape *which = count > 1 ? shape_named(words[1]) : NULL;
    if (!which) {
        fprintf(stderr, "expected a shape, got %s\n", count > 1 ? words[1] : "nothing");
        return NULL;
    }
    bool backend = which != &relay_shape;
    for (int place = 2; place + 1 < count; place += 2)
        if (strcmp(words[place], "--backend") == 0)
            backend = read_backend(words[place + 1]);
    if (backend)
        return which;
    fprintf(stderr, "expected --backend and an address\n");
    return NULL;
}

static void prepare_process(void)
{
    struct rlimit descriptors;
    if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0) {
        descriptors.rlim_cur = descriptors.rlim_max;
        setrlimit(RLIMIT_NOFILE, &descriptors);
    }
    signal(SIGPIPE, SIG_IGN);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    for (size_t place = 0; place < BLOCK; place++)
        pattern[place] = (char)(place * 31 + place / 256);
}

static int listen_on(uv_tcp_t *listener, const shape *which)
{
    struct sockaddr_in address;
    int length = sizeof address;
    listener->data = (void *)which;
    int error = uv_ip4_addr("127.0.0.1", 0, &address);
    if (!error)
        error = uv_tcp_bind(listener, (const struct sockaddr *)&address, 0);
    if (!error)
        error = uv_listen((uv_stream_t *)listener, BACKLOG, on_connection);
    if (!error)
        error = uv_tcp_getsockname(listener, (struct sockaddr *)&address, &length);
    if (!error) {
        printf("listening %d\n", ntohs(address.sin_port));
        fflush(stdout);
    }
    return error;
}

int main(int count, char **words)
{
    const shape *which = read_arguments(count, words);
    if (!which)
        return NO_SUCH_SHAPE;
    prepare_process();
    uv_tcp_t listener;
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_init(loop, &listener);
    int error = listen_on(&listener, which);
    if (error) {
        fprintf(stderr, "%s: %s\n", which->name, uv_strerror(error));
        return EXIT_FAILURE;
    }
    return uv_run(loop, UV_RUN_DEFAULT);
}

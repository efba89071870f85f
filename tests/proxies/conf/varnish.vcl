# /etc/varnish/default.vcl. Each held poll, stream and WebSocket takes a thread of Varnish:
# thread_pools * thread_pool_max (2 * 5000) must exceed them.
vcl 4.1;

backend weft {
    .host = "127.0.0.1";
    .port = "8080";
    # Both more than sessions.timeout and streams.heartbeat. No .max_connections.
    .first_byte_timeout = 75s;
    .between_bytes_timeout = 75s;
}

sub vcl_recv {
    if (req.http.Upgrade ~ "(?i)^websocket$") {
        return (pipe);
    }
    return (pass);
}

sub vcl_pipe {
    # Varnish drops these two; the tunnel is idle for pipe_timeout (60s) at most, and weft pings.
    if (req.http.Upgrade) {
        set bereq.http.Upgrade = req.http.Upgrade;
        set bereq.http.Connection = req.http.Connection;
    }
}

CREATE TABLE blobs (
    digest NVARCHAR(64) COLLATE Latin1_General_BIN2 NOT NULL,
    bytes VARBINARY(max) NOT NULL,
    PRIMARY KEY (digest)
);

CREATE TABLE category_heads (
    category NVARCHAR(512) COLLATE Latin1_General_BIN2 NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY NONCLUSTERED (category)
);

CREATE TABLE events (
    position BIGINT NOT NULL,
    stream NVARCHAR(512) COLLATE Latin1_General_BIN2 NOT NULL,
    version BIGINT NOT NULL,
    type NVARCHAR(512) COLLATE Latin1_General_BIN2 NOT NULL,
    category NVARCHAR(512) COLLATE Latin1_General_BIN2 NOT NULL,
    recorded_at DATETIME2(7) NOT NULL,
    envelope VARBINARY(max) NOT NULL,
    data VARBINARY(max) NOT NULL,
    hash VARBINARY(32) NOT NULL,
    PRIMARY KEY (position)
);

CREATE UNIQUE INDEX events_stream_version ON events (stream, version);

CREATE TABLE head (
    id INTEGER NOT NULL,
    format INTEGER NOT NULL,
    epoch NVARCHAR(64) COLLATE Latin1_General_BIN2 NOT NULL,
    position BIGINT NOT NULL,
    hash VARBINARY(32) NOT NULL,
    recorded_at DATETIME2(7) NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE leases (
    name NVARCHAR(512) COLLATE Latin1_General_BIN2 NOT NULL,
    holder NVARCHAR(512) COLLATE Latin1_General_BIN2 NOT NULL,
    epoch BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY NONCLUSTERED (name)
);

CREATE TABLE submissions (
    idempotency_key NVARCHAR(512) COLLATE Latin1_General_BIN2 NOT NULL,
    content_digest NVARCHAR(512) COLLATE Latin1_General_BIN2 NOT NULL,
    first_position BIGINT NOT NULL,
    last_position BIGINT NOT NULL,
    answer VARBINARY(max) NOT NULL,
    PRIMARY KEY NONCLUSTERED (idempotency_key)
);

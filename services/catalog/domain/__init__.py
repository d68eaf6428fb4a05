"""The catalog's aggregates, one a file: namespaces, applications, configurations, releases, release choices."""

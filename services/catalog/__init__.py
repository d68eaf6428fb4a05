"""The catalog decides what can run: namespaces, applications, their releases and configuration, and release choices."""

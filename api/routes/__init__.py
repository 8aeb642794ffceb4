"""路由: the HTTP interface, one module a resource."""

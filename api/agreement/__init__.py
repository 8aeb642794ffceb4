"""对账: whether two organizations hold the same, why not, and the certificate that they do."""

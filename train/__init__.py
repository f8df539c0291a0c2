"""The imperative shell around `fcnn`: data, disk, terminal and pictures. Run it as
`python -m train`."""

//! A cluster's life as a list of steps: start, stop, delete, status; profiles and kubeconfig.

"""From a file of the service to a safe file on disk, through cut connections, expired links and crashes."""

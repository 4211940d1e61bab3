//! What stands before a log line's message: time, host, program, process id.

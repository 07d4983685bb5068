//! Our errors as the callers of the service see them.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tool_protocol::Coded;

use crate::error::Error;

/// Says whose codes they are, as google.rpc.ErrorInfo wants it.
const DOMAIN: &str = "clipyard";

/// A failure with its code and details. The category of a code is the client's to know: here it only decides what a generic
/// gRPC client sees.
pub(super) fn status_of(error: &Error) -> Status {
    let code = match error.code() {
        "MOUNT_POINT_INVALID" | "CACHE_FILESYSTEM_UNSUPPORTED" | "INTERNAL" => {
            Code::InvalidArgument
        }
        "MOUNT_NOT_FOUND" | "PATH_NOT_FOUND" => Code::NotFound,
        "MOUNT_POINT_IN_USE" | "MOUNT_BUSY" => Code::Aborted,
        "PRIVILEGE_REQUIRED" => Code::PermissionDenied,
        "MOUNT_DRAINING" => Code::FailedPrecondition,
        "DISK_FULL" => Code::ResourceExhausted,
        code if code.starts_with("ARCHIVE_") || code == "BLOB_MISMATCH" => Code::DataLoss,
        _ => Code::Internal,
    };
    let metadata: HashMap<String, String> = error.details().into_iter().collect();
    let details = ErrorDetails::with_error_info(error.code(), DOMAIN, metadata);
    Status::with_error_details(code, error.to_string(), details)
}

/// A handler that did not come to its end.
pub(super) fn refused(error: &tokio::task::JoinError) -> Status {
    Status::internal(format!("the request was not finished: {error}"))
}

//! What the servers of this program do with every request before its handler, and with the answer.

use actix_http::{Request, Response};
use actix_web::body::BoxBody;
use actix_web::dev::{Service, ServiceResponse};

use super::path;
use crate::transport::connection::{self, ResponseBody};

/// Lets the service answer a request.
pub(crate) fn handle<S>(
    mut request: Request,
    service: &S,
) -> impl Future<Output = Result<Response<ResponseBody>, S::Error>> + use<S>
where
    S: Service<Request, Response = ServiceResponse<BoxBody>>,
{
    path::merge_slashes(request.head_mut());
    connection::handle(request, service)
}

//! Work on every request before its handler, and on the answer, in the servers of this program.

use std::rc::Rc;
use std::sync::Arc;

use actix_http::header::{HeaderName, HeaderValue};
use actix_http::{ConnectionType, Request, Response};
use actix_web::body::BoxBody;
use actix_web::dev::{Service, ServiceResponse};

use super::path;
use super::public::forwarded;
use crate::runtime::Runtime;
use peerbroker_transport::connection::{self, ConnectionState, ResponseBody};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// Lets the service answer a request.
pub(crate) fn handle<S>(
    runtime: &Arc<Runtime>,
    mut request: Request,
    service: &S,
) -> impl Future<Output = Result<Response<ResponseBody>, S::Error>> + use<S>
where
    S: Service<Request, Response = ServiceResponse<BoxBody>>,
{
    path::merge_slashes(request.head_mut());
    let connection = request.conn_data::<Rc<ConnectionState>>().map(Rc::clone);
    if let Some(connection) = &connection
        && forwarded::is_by_proxy(&runtime.config(), request.head())
    {
        let runtime = Arc::clone(runtime);
        // The proxy has to open its next connection to the next server.
        connection.keep_while(move || !runtime.is_stopping());
    }
    let asked = request.head().connection_type();
    let answered = connection::handle(request, service);
    async move {
        let mut response = answered.await?;
        if asked == ConnectionType::Upgrade {
            // Nothing was upgraded: actix-http hands those requests to another service. It would answer
            // `Connection: upgrade`, and end the connection.
            response.head_mut().set_connection_type(ConnectionType::Close);
        }
        let stays = response.head().connection_type() != ConnectionType::Close;
        if let Some(connection) = connection.filter(|_| stays && asked == ConnectionType::KeepAlive) {
            // As Node does, so that clients with a pool send no request at the moment of the end.
            let told = HeaderValue::from_static(connection.idle_time().keep_alive);
            response.headers_mut().insert(KEEP_ALIVE, told);
        }
        Ok(response)
    }
}

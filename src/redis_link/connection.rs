//! Commands, and their way over a connection.

use std::collections::BTreeMap;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, Script, ServerErrorKind, ToRedisArgs, Value};
use tokio::task::JoinSet;

/// A command, and the one key that it is about.
pub(crate) struct Call {
    key: String,
    command: Cmd,
    /// Loaded if the server does not know it.
    script: Option<&'static Script>,
}

impl Call {
    /// A script about one key, called by its digest.
    pub(crate) fn script(script: &'static Script, key: String) -> Self {
        let mut command = redis::cmd("EVALSHA");
        command.arg(script.get_hash()).arg(1).arg(&key);
        Call { key, command, script: Some(script) }
    }

    /// A command with its key as the first argument.
    pub(crate) fn command(name: &str, key: String) -> Self {
        let mut command = redis::cmd(name);
        command.arg(&key);
        Call { key, command, script: None }
    }

    /// `XREAD` has its key behind its options.
    pub(crate) fn raw(command: Cmd, key: String) -> Self {
        Call { key, command, script: None }
    }

    /// The command, to be sent. Of a script, a copy: those of commands with much in them would cost.
    fn take(&mut self) -> Cmd {
        if self.script.is_some() { self.command.clone() } else { std::mem::take(&mut self.command) }
    }

    /// Appends an argument.
    pub(crate) fn arg(mut self, arg: impl ToRedisArgs) -> Self {
        self.command.arg(arg);
        self
    }
}

/// A connection, to one server or to those of a cluster.
#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Runs calls as one batch: on one server in this order, in a cluster those about one key.
    pub(super) async fn run(&mut self, mut calls: Vec<Call>) -> RedisResult<Vec<Value>> {
        let mut answers = self.send(&mut calls).await?;
        let unknown = |answer: &RedisResult<Value>| {
            let error = answer.as_ref().err();
            error.is_some_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
        };
        // The server is new, or has forgotten its scripts. These calls alone were not carried out.
        if answers.iter().any(unknown) {
            let mut again: Vec<Call> = calls
                .into_iter()
                .zip(&answers)
                .filter(|(_, answer)| unknown(answer))
                .map(|(call, _)| call)
                .collect();
            let scripts: BTreeMap<&str, &Script> = again
                .iter()
                .filter_map(|call| call.script)
                .map(|script| (script.get_hash(), script))
                .collect();
            for script in scripts.into_values() {
                script.load_async(self).await?;
            }
            let mut second = self.send(&mut again).await?.into_iter();
            for answer in answers.iter_mut().filter(|answer| unknown(answer)) {
                if let Some(second) = second.next() {
                    *answer = second;
                }
            }
        }
        answers.into_iter().collect()
    }

    /// The run ids of all masters, sorted: other ones after a restart or a failover. None if the server does not say.
    pub(super) async fn run_ids(&mut self) -> RedisResult<Vec<String>> {
        match self.req_packed_command(redis::cmd("INFO").arg("server")).await {
            Ok(answer) => {
                let mut run_ids = Vec::new();
                note_run_ids(answer, &mut run_ids);
                run_ids.sort_unstable();
                Ok(run_ids)
            }
            Err(error) if is_refusal(&error) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Takes the commands out of the calls, but leaves scripts: they may have to be sent again.
    async fn send(&mut self, calls: &mut [Call]) -> RedisResult<Vec<RedisResult<Value>>> {
        match self {
            Connection::One(connection) => {
                let mut pipeline = Pipeline::with_capacity(calls.len());
                for call in calls.iter_mut() {
                    pipeline.add_command(call.take());
                }
                let answers = connection.req_packed_commands(&pipeline, 0, calls.len()).await?;
                Ok(answers.into_iter().map(Value::extract_error).collect())
            }
            Connection::Cluster(connection) => Ok(spread(connection, calls).await),
        }
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> redis::RedisFuture<'a, Value> {
        match self {
            Connection::One(connection) => connection.req_packed_command(cmd),
            Connection::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> redis::RedisFuture<'a, Vec<Value>> {
        match self {
            Connection::One(connection) => connection.req_packed_commands(pipeline, offset, count),
            Connection::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        0
    }
}

/// True if the user may not ask, or the server does not know the question.
fn is_refusal(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(ServerErrorKind::NoPerm | ServerErrorKind::ResponseError))
}

/// A cluster answers with the text of each master.
fn note_run_ids(answer: Value, run_ids: &mut Vec<String>) {
    match answer {
        Value::Map(answers) => answers.into_iter().for_each(|(_, answer)| note_run_ids(answer, run_ids)),
        answer => {
            let text: String = redis::from_redis_value(answer).unwrap_or_default();
            run_ids.extend(text.lines().find_map(|line| line.strip_prefix("run_id:")).map(str::to_owned));
        }
    }
}

/// Sends all at once, but calls about the same key one after the other. A pipeline of a cluster cannot be used: all its keys
/// have to be in one slot, and it does not follow slots that move.
async fn spread(connection: &ClusterConnection, calls: &mut [Call]) -> Vec<RedisResult<Value>> {
    let mut by_key: BTreeMap<&str, Vec<(usize, Cmd)>> = BTreeMap::new();
    let count = calls.len();
    for (at, call) in calls.iter_mut().enumerate() {
        let command = call.take();
        by_key.entry(&call.key).or_default().push((at, command));
    }
    let mut tasks = JoinSet::new();
    for commands in by_key.into_values() {
        let mut connection = connection.clone();
        tasks.spawn(async move {
            let mut answers = Vec::with_capacity(commands.len());
            for (at, command) in commands {
                let answer = connection.req_packed_command(&command).await;
                answers.push((at, answer.and_then(Value::extract_error)));
            }
            answers
        });
    }
    let mut answers = BTreeMap::new();
    while let Some(of_one_key) = tasks.join_next().await {
        answers.extend(of_one_key.unwrap_or_default());
    }
    let lost = || Err(RedisError::from((ErrorKind::Client, "the call was not carried out")));
    (0..count).map(|at| answers.remove(&at).unwrap_or_else(lost)).collect()
}

//! A Redis in memory, as far as the backplane uses one: its commands in Rust, and its scripts in the Lua that
//! Redis has. It knows no time but the one that it is given, in microseconds.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::mem::{swap, take};
use std::rc::Rc;

use mlua::{Function, Lua, LuaString, Table, Variadic};
use redis::Value;

pub type Micros = u64;

/// For how long changes can be undone.
const UNDO: Micros = 60_000_000;

/// The number of an entry of a stream.
type Id = (u64, u64);

#[derive(Clone)]
enum Content {
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    /// Each entry has one field.
    Stream(VecDeque<(Id, [Vec<u8>; 2])>),
}

#[derive(Clone)]
struct Entry {
    content: Content,
    /// In milliseconds.
    expires: u64,
}

/// The state of something before a call.
enum Undo {
    Entry(Option<Entry>),
    Append(Id),
}

/// A change of a call: its time, its number, and the key that it was about.
struct Change {
    at: Micros,
    call: u64,
    key: Vec<u8>,
    undo: Undo,
}

#[derive(Default)]
pub struct Store {
    entries: BTreeMap<Vec<u8>, Entry>,
    now: Micros,
    calls: u64,
    /// The number of the last batch. Never used again, also not after a failover.
    appended: u64,
    done: VecDeque<Change>,
}

impl Store {
    pub fn wipe(&mut self) {
        *self = Store { appended: self.appended, ..Store::default() };
    }

    /// As if nothing had been written since then.
    pub fn roll_back(&mut self, to: Micros) {
        while let Some(Change { key, undo, .. }) = self.done.pop_back_if(|change| change.at > to) {
            match undo {
                Undo::Entry(Some(entry)) => drop(self.entries.insert(key, entry)),
                Undo::Entry(None) => drop(self.entries.remove(&key)),
                Undo::Append(id) => self.remove_batch(&key, id),
            }
        }
    }

    /// As if no batch had been appended since then.
    pub fn lose_appends(&mut self, since: Micros) {
        let done = take(&mut self.done);
        for change in done.iter().filter(|change| change.at > since) {
            if let Undo::Append(id) = change.undo {
                self.remove_batch(&change.key, id);
            }
        }
        self.done = done;
    }

    fn remove_batch(&mut self, key: &[u8], id: Id) {
        if let Some(Entry { content: Content::Stream(stream), .. }) = self.entries.get_mut(key) {
            stream.retain(|(there, _)| *there != id);
        }
    }

    /// The number of batches appended so far.
    pub fn appended(&self) -> u64 {
        self.appended
    }

    /// The values of a field of all hashes, in the order of their keys.
    pub fn fields(&mut self, now: Micros, field: &str) -> Vec<String> {
        self.now = now;
        let live = self.entries.values().filter(|entry| entry.expires > now / 1000);
        let fields = live.filter_map(|entry| match &entry.content {
            Content::Hash(hash) => hash.get(field.as_bytes()),
            Content::Stream(_) => None,
        });
        fields.map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// Carries out a command, or a script with its key and its arguments, and answers as Redis does.
    pub fn run(&mut self, now: Micros, script: Option<&'static str>, args: &[&[u8]]) -> Value {
        self.now = now;
        self.calls += 1;
        while self.done.pop_front_if(|change| change.at + UNDO < now).is_some() {}
        let Some(script) = script else { return self.command(args) };
        INTERPRETER.with(|interpreter| {
            // Lua has the store for as long as the script runs.
            swap(&mut *interpreter.store.borrow_mut(), self);
            let answer = interpreter.run(script, args);
            swap(&mut *interpreter.store.borrow_mut(), self);
            answer.expect("a script of the backplane")
        })
    }

    fn command(&mut self, args: &[&[u8]]) -> Value {
        let now = self.now / 1000;
        let (name, rest) = args.split_first().expect("a name");
        match (*name, rest) {
            (b"TIME", []) => {
                let parts = [self.now / 1_000_000, self.now % 1_000_000];
                Value::Array(parts.map(|part| bulk(part.to_string())).to_vec())
            }
            (b"EXISTS", [key]) => Value::Int(self.entry(key).is_some().into()),
            (b"DEL", [key]) => {
                self.note(key);
                Value::Int(self.entries.remove(*key).is_some().into())
            }
            (b"PTTL", [key]) => Value::Int(self.entry(key).map_or(-2, |entry| match entry.expires {
                u64::MAX => -1,
                expires => (expires - now) as i64,
            })),
            (b"PEXPIRE", [key, time]) => self.expire(key, now + number(time)),
            (b"PEXPIREAT", [key, time]) => self.expire(key, number(time)),
            (b"HGETALL", [key]) => {
                let fields = self.hash(key).into_iter().flatten();
                Value::Array(fields.flat_map(|(field, value)| [bulk(field), bulk(value)]).collect())
            }
            (b"HGET", [key, field]) => {
                self.hash(key).and_then(|hash| hash.get(*field)).map_or(Value::Nil, bulk)
            }
            (b"HSET", [key, pairs @ ..]) => {
                self.note(key);
                let made = || Entry { content: Content::Hash(BTreeMap::new()), expires: u64::MAX };
                let entry = self.entries.entry(key.to_vec()).or_insert_with(made);
                let Content::Hash(hash) = &mut entry.content else { panic!("no hash") };
                hash.extend(pairs.chunks(2).map(|pair| (pair[0].to_vec(), pair[1].to_vec())));
                Value::Int(1)
            }
            (b"HDEL", [key, field]) => {
                self.note(key);
                if let Some(Entry { content: Content::Hash(hash), .. }) = self.entries.get_mut(*key) {
                    hash.remove(*field);
                    if hash.is_empty() {
                        self.entries.remove(*key);
                    }
                }
                Value::Int(1)
            }
            (b"XADD", [key, b"NOMKSTREAM", b"MAXLEN", b"~", most, b"*", field, value]) => {
                if self.entry(key).is_none() {
                    return Value::Nil;
                }
                self.appended += 1;
                self.append(key, (self.appended, 0), [field, value], number(most));
                bulk(shown((self.appended, 0)))
            }
            (b"XADD", [key, id, field, value]) => {
                self.note(key);
                let entry = Entry { content: Content::Stream(VecDeque::new()), expires: u64::MAX };
                self.entries.entry(key.to_vec()).or_insert(entry);
                self.append(key, id_of(id), [field, value], u64::MAX);
                bulk(id)
            }
            (b"XTRIM", [key, b"MINID", least]) => {
                self.entry(key);
                if let Some(Entry { content: Content::Stream(stream), .. }) = self.entries.get_mut(*key) {
                    stream.retain(|(id, _)| *id >= id_of(least));
                }
                Value::Int(0)
            }
            (b"XREAD", options) => {
                let at = options.iter().position(|option| *option == b"STREAMS").expect("a stream");
                let key = options[at + 1];
                let after = id_of(options[at + 2]);
                let most = number(options[1]);
                let Some(Entry { content: Content::Stream(stream), .. }) = self.entry(key) else {
                    return Value::Nil;
                };
                let behind = stream.range(stream.partition_point(|(id, _)| *id <= after)..);
                let entry = |(id, [field, value]): &(Id, [Vec<u8>; 2])| {
                    Value::Array(vec![bulk(shown(*id)), Value::Array(vec![bulk(field), bulk(value)])])
                };
                let entries: Vec<Value> = behind.take(most as usize).map(entry).collect();
                if entries.is_empty() {
                    return Value::Nil;
                }
                Value::Array(vec![Value::Array(vec![bulk(key), Value::Array(entries)])])
            }
            _ => panic!("the simulated Redis lacks {:?}", String::from_utf8_lossy(name)),
        }
    }

    /// The content of a key, unless it has expired.
    fn entry(&mut self, key: &[u8]) -> Option<&Entry> {
        if self.entries.get(key)?.expires <= self.now / 1000 {
            self.note(key);
            self.entries.remove(key);
        }
        self.entries.get(key)
    }

    fn hash(&mut self, key: &[u8]) -> Option<&BTreeMap<Vec<u8>, Vec<u8>>> {
        match &self.entry(key)?.content {
            Content::Hash(hash) => Some(hash),
            Content::Stream(_) => panic!("no hash"),
        }
    }

    fn expire(&mut self, key: &[u8], at: u64) -> Value {
        // A copy of a stream would be expensive, and its last moments do not matter.
        if matches!(self.entry(key), Some(Entry { content: Content::Hash(_), .. })) {
            self.note(key);
        }
        Value::Int(self.entries.get_mut(key).map(|entry| entry.expires = at).is_some().into())
    }

    fn append(&mut self, key: &[u8], id: Id, [field, value]: [&[u8]; 2], most: u64) {
        let Some(Entry { content: Content::Stream(stream), .. }) = self.entries.get_mut(key) else { return };
        stream.push_back((id, [field.to_vec(), value.to_vec()]));
        while stream.len() as u64 > most {
            stream.pop_front();
        }
        self.done.push_back(Change {
            at: self.now,
            call: self.calls,
            key: key.to_vec(),
            undo: Undo::Append(id),
        });
    }

    /// Notes what is under a key, before this call changes it for the first time.
    fn note(&mut self, key: &[u8]) {
        let mut of_call = self.done.iter().rev().take_while(|change| change.call == self.calls);
        if of_call.any(|change| change.key == key) {
            return;
        }
        let undo = Undo::Entry(self.entries.get(key).cloned());
        self.done.push_back(Change { at: self.now, call: self.calls, key: key.to_vec(), undo });
    }
}

fn bulk(bytes: impl AsRef<[u8]>) -> Value {
    Value::BulkString(bytes.as_ref().to_vec())
}

fn number(text: &[u8]) -> u64 {
    str::from_utf8(text).ok().and_then(|text| text.parse().ok()).expect("a number")
}

fn id_of(text: &[u8]) -> Id {
    let end = text.iter().position(|byte| *byte == b'-').unwrap_or(text.len());
    (number(&text[..end]), text.get(end + 1..).map_or(0, number))
}

fn shown((one, other): Id) -> String {
    format!("{one}-{other}")
}

/// The Lua of a thread, with the scripts that it has compiled, by the places of their texts.
struct Interpreter {
    lua: Lua,
    scripts: RefCell<HashMap<*const u8, Function>>,
    /// The store whose script runs.
    store: Rc<RefCell<Store>>,
}

thread_local! {
    static INTERPRETER: Interpreter = Interpreter::new().expect("Lua");
}

impl Interpreter {
    fn new() -> mlua::Result<Self> {
        let lua = Lua::new();
        let store = Rc::<RefCell<Store>>::default();
        let redis = lua.create_table()?;
        let cjson = lua.create_table()?;
        let of_lua = Rc::clone(&store);
        let call = lua.create_function(move |lua, args: Variadic<LuaString>| {
            let args: Vec<_> = args.iter().map(LuaString::as_bytes).collect();
            let args: Vec<&[u8]> = args.iter().map(|arg| &**arg).collect();
            to_lua(lua, of_lua.borrow_mut().command(&args))
        })?;
        redis.set("call", &call)?;
        redis.set("pcall", call)?;
        cjson.set("decode", lua.create_function(decode)?)?;
        cjson.set("encode", lua.create_function(encode)?)?;
        lua.globals().set("redis", redis)?;
        lua.globals().set("cjson", cjson)?;
        // Its garbage is small: memory for less time.
        lua.load("collectgarbage('setpause', 1000)").exec()?;
        Ok(Interpreter { lua, scripts: RefCell::default(), store })
    }

    fn run(&self, text: &'static str, args: &[&[u8]]) -> mlua::Result<Value> {
        let mut scripts = self.scripts.borrow_mut();
        let script = match scripts.get(&text.as_ptr()) {
            Some(script) => script.clone(),
            None => scripts.entry(text.as_ptr()).or_insert(self.lua.load(text).into_function()?).clone(),
        };
        let args: Vec<LuaString> =
            args.iter().map(|arg| self.lua.create_string(arg)).collect::<mlua::Result<_>>()?;
        let globals = self.lua.globals();
        globals.raw_set("KEYS", self.lua.create_sequence_from(&args[..1])?)?;
        globals.raw_set("ARGV", self.lua.create_sequence_from(&args[1..])?)?;
        of_lua(script.call(())?)
    }
}

fn to_lua(lua: &Lua, answer: Value) -> mlua::Result<mlua::Value> {
    Ok(match answer {
        Value::Int(number) => mlua::Value::Number(number as f64),
        Value::BulkString(bytes) => mlua::Value::String(lua.create_string(bytes)?),
        Value::Array(parts) => {
            let parts: Vec<mlua::Value> =
                parts.into_iter().map(|part| to_lua(lua, part)).collect::<mlua::Result<_>>()?;
            mlua::Value::Table(lua.create_sequence_from(parts)?)
        }
        _ => mlua::Value::Boolean(false),
    })
}

fn of_lua(answer: mlua::Value) -> mlua::Result<Value> {
    Ok(match answer {
        mlua::Value::Integer(number) => Value::Int(number),
        mlua::Value::Number(number) => Value::Int(number as i64),
        mlua::Value::String(text) => bulk(text.as_bytes()),
        mlua::Value::Table(table) => {
            let parts = table.sequence_values().map(|part| of_lua(part?));
            Value::Array(parts.collect::<mlua::Result<_>>()?)
        }
        _ => Value::Nil,
    })
}

fn decode(lua: &Lua, text: LuaString) -> mlua::Result<Table> {
    let fields: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&text.as_bytes()).map_err(mlua::Error::external)?;
    let table = lua.create_table()?;
    for (name, value) in fields {
        match value {
            serde_json::Value::Bool(value) => table.set(name, value)?,
            serde_json::Value::Number(value) => table.set(name, value.as_f64())?,
            serde_json::Value::String(value) => table.set(name, value)?,
            value => panic!("no script writes {value}"),
        }
    }
    Ok(table)
}

fn encode(_: &Lua, table: Table) -> mlua::Result<String> {
    let mut fields = serde_json::Map::new();
    for pair in table.pairs() {
        let (name, value): (String, mlua::Value) = pair?;
        let value = match value {
            mlua::Value::Boolean(value) => value.into(),
            mlua::Value::Integer(value) => value.into(),
            mlua::Value::Number(value) => value.into(),
            mlua::Value::String(value) => value.to_str()?.to_owned().into(),
            value => panic!("no script encodes {value:?}"),
        };
        fields.insert(name, value);
    }
    Ok(serde_json::Value::Object(fields).to_string())
}

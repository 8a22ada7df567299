/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The rotation protocol: a host, a target, and everything that may happen between two of their
 * steps. README.md says what is modelled, which function each step stands for, and what is left
 * out. run checks it with spin.
 *
 * One pair of host NQN and subsystem NQN; keys are bits of a byte. The ring of the kernel has no
 * order: a lookup may yield any key in it, which covers every order of hashes.
 *
 * Each machine has its records twice: `h` is the file as a process reads it, `hd` what the disk
 * holds after a power cut. A commit is two steps, rename and sync, and a fault may come between.
 *
 * -DNAME of the list in run seeds a bug.
 */

#ifndef ROTATIONS
#define ROTATIONS 2
#endif
#ifndef FAULTS /* crashes, power cuts, rings that another program empties: how many of them, of any kind */
#define FAULTS 2
#endif
#ifndef REVERTS
#define REVERTS 1
#endif

#define FIRST 1
#define LAST (1 << ROTATIONS)

/* Masks of keys in each state. */
typedef Records {
    byte pend;
    byte act;
    byte ret;
    byte conf; /* those that a handshake has succeeded with; of a host */
    byte top   /* the newest key that the machine was ever given */
}

/* The host */
Records h, hd;
byte h_ring = FIRST;    /* .nvme */
byte h_revoked;         /* keys that are revoked, in the ring or not */
bool h_published = 1;   /* the keys were in .nvme once since the boot */
bool h_cleared;         /* another program has emptied .nvme, and it is not yet repaired */
bool h_idle;            /* the daemon waits for events */
bool h_crash;           /* the daemon dies before its next step */

/* The target */
Records t, td;
byte t_ring = FIRST;
bool t_port = 1;        /* the port serves */
bool t_cleared;
bool t_crash;

/* The host's controller. OFF: there is none. A lookup looks for one key after the other, in any
 * order, and `seen` are those that it did not find. Then `offered` is its key until the handshake
 * ends. */
#define OFF 0
#define CONNECTING 1
#define LIVE 2
byte ctrl = LIVE;
byte seen;
byte offered;
bool old_lookup; /* a lookup goes on that began before the last key was added */
byte conn = FIRST; /* the key of the last handshake that succeeded */

byte back; /* the old key, while the operator goes back to it */
byte reverts;

/* The target's clock, for two of the seeded bugs: right, ahead and not synchronised, or set back for
 * ever. The protocol itself reads no clock that may be wrong. */
#define RIGHT 0
#define AHEAD 1
#define BACK 2
#if defined(WALL_CLOCK_FIRST)
#define CLOCK AHEAD
#elif defined(WALL_CLOCK_ONLY)
#define CLOCK BACK
#endif
byte t_clock;

/* Promises, for the text of a failed assertion: never true. */
hidden byte finds_a_key, known_to_target, not_revoked, one_key, right_key, old_key_is_kept;

#define H_WANT (h.act)
#define T_WANT (t.act | t.ret)

inline h_sync() { d_step { hd.pend = h.pend; hd.act = h.act; hd.ret = h.ret; hd.conf = h.conf; hd.top = h.top } }
inline t_sync() { d_step { td.act = t.act; td.ret = t.ret; td.top = t.top } }
/* Opening the store settles what an earlier process has renamed but not synced. */
#ifdef OPEN_WITHOUT_SYNC
inline h_open() { skip }
inline t_open() { skip }
#else
inline h_open() { h_sync() }
inline t_open() { t_sync() }
#endif

/* --- the host's daemon --- */

/* A lookup may have passed the place of the new key before it came, and reach that of the old key
 * after it went. So the old one stays for longer than a lookup takes. */
inline h_add(keys)
{
    d_step {
        old_lookup = (!h_cleared && (old_lookup || (seen && (h_ring & (keys)) != (keys))));
        seen = (h_cleared -> 0 : seen);
        h_ring = h_ring | (keys);
        h_cleared = 0
    }
}
#ifdef NO_PAUSE
#define PAUSE skip
#else
#define PAUSE !old_lookup
#endif

/* reconcile: add what is missing, then unlink what is stale. */
inline h_reconcile()
{
    h_add(H_WANT);
    PAUSE;
    h_ring = h_ring & H_WANT
}

/* manager_activate(): key `new` becomes active, the active one retires. One commit, then the ring. */
inline h_commit_switch(new)
{
    d_step {
        h.ret = (h.ret | h.act) & ~(new);
        h.act = new;
        h.pend = h.pend & ~(new);
#ifdef DROP_UNCONFIRMED
        h.ret = 0;
#endif
    };
    h_sync()
}
inline h_ring_switch(new, old)
{
#if defined(UNLINK_FIRST)
    h_ring = h_ring & ~(old);
    h_ring = h_ring | (new)
#elif defined(REVOKE_OLD)
    h_ring = h_ring | (new);
    d_step { h_ring = h_ring & ~(old); h_revoked = h_revoked | (old) }
#elif defined(KEEP_OLD)
    h_ring = h_ring | (new)
#else
    h_add(new);
    PAUSE;
    h_ring = h_ring & ~(old)
#endif
}
inline h_switch(key)
{
    d_step { new = key; old = h.act };
#ifdef SWITCH_BEFORE_COMMIT
    h_ring_switch(new, old);
    h_commit_switch(new)
#else
    h_commit_switch(new);
    h_ring_switch(new, old)
#endif
}

/* A probe (probe/, manager/follow.c): a handshake of its own. accepted means that the target's ring
 * had the key at that moment, and nothing else is certain. */
#if defined(HOST_FIRST)
#define ACCEPTED(key) (true)
#elif defined(NO_PATH_IS_CONSENT)
#define ACCEPTED(key) (ctrl == OFF || (t_port && (t_ring & (key))))
#else
#define ACCEPTED(key) (t_port && (t_ring & (key)))
#endif

/* The next key may be given to the host, before or after the target got it. */
#define H_MAY_ROTATE                                                                               \
    (h.top < LAST && !h.pend && !back && ((t.top == h.top && t.act == h.act) || t.top > h.top))
/* The record goes when a handshake with its successor has succeeded. No time is asked for: the
 * host's clock may show anything. */
#ifdef DROP_UNCONFIRMED
#define H_MAY_DROP (h.ret && !back)
#else
#define H_MAY_DROP (h.ret && (h.conf & h.act) && !back)
#endif

proctype HostDaemon()
{
    byte new, old;

start:
    {
        h_open();
        h_reconcile();
        h_published = 1;
idle:   h_idle = 1;
        if
        /* rotate: a pending successor, which a host does not publish */
        :: d_step { (H_MAY_ROTATE) -> h_idle = 0; h.top = h.top << 1; h.pend = h.top };
           h_sync();
#ifdef PENDING_PUBLISHED
           h_ring = h_ring | h.pend;
#endif
        :: atomic { (h.pend && ACCEPTED(h.pend)) -> h_idle = 0 };
           h_switch(h.pend)
        :: atomic { (back && td.act == back && h.act != back && ACCEPTED(back)) -> h_idle = 0 };
           h_switch(back)
        :: d_step { ((conn & h.act) && !(h.conf & h.act)) -> h_idle = 0; h.conf = h.conf | h.act };
           h_sync()
        :: d_step { (H_MAY_DROP) -> h_idle = 0; h.ret = 0 };
           h_sync()
        /* guard/ */
#ifdef PUT_BACK_OLD
        :: atomic { (h_cleared) -> h_idle = 0 };
           h_add(h.act | h.ret)
#elif !defined(NO_GUARD)
        :: atomic { (h_ring != H_WANT) -> h_idle = 0 };
           h_reconcile()
#endif
        fi;
        goto idle
    } unless {
        atomic { h_crash -> h_crash = 0; h_idle = 0; new = 0; old = 0 }
    };
#ifdef FORGET_PENDING
    /* The wish to follow was in memory only. */
    h.pend = 0;
#endif
    goto start
}

/* --- the target's daemon --- */

/* Time enough for every host that switches, for a handshake, and for a person. */
#ifdef RETIRE_EARLY
#define DEADLINE true
#else
#define DEADLINE (h_ring && !(h_ring & t.ret) && !(offered & t.ret) && !(h.act & t.ret) && !back)
#endif
#ifdef WALL_CLOCK_ONLY
#define T_DUE (t.ret && DEADLINE && t_clock != BACK)
#else
#define T_DUE (t.ret && DEADLINE)
#endif
/* One rotation of the pair at a time: the host has followed the last one. */
#define T_MAY_ROTATE (t.top < LAST && !back && t.act == h.act && t.top <= h.top)

proctype TargetDaemon()
{
start:
    {
        t_open();
#ifdef PORT_FIRST
        t_port = 1;
#endif
        d_step { t_ring = t_ring | T_WANT; t_cleared = 0 };
        t_ring = t_ring & T_WANT;
        t_port = 1;
        do
        /* rotate: the successor is accepted at once, and so is the old key */
#ifdef TARGET_BEFORE_COMMIT
        :: d_step { (T_MAY_ROTATE) -> t_ring = t_ring | (t.top << 1) };
           d_step { t.top = t.top << 1; t.ret = t.ret | t.act; t.act = t.top };
#else
        :: d_step { (T_MAY_ROTATE) -> t.top = t.top << 1; t.ret = t.ret | t.act; t.act = t.top };
#endif
           t_sync();
           t_ring = t_ring | t.act
        /* activate, of the old key */
        :: d_step {
            (back && t.act != back) -> t.ret = (t.ret | t.act) & ~back; t.act = back
           };
           t_sync();
           t_ring = t_ring | t.act
        /* manager_retire_due() */
        :: d_step { T_DUE -> t_ring = t_ring & ~t.ret };
           t.ret = 0;
           t_sync()
#ifdef WALL_CLOCK_FIRST
        :: (t.ret && t_clock == AHEAD && (t_ring & t.ret)) ->
           t_ring = t_ring & ~t.ret
#else
        :: (t_ring != T_WANT) ->
           d_step { t_ring = T_WANT; t_cleared = 0 }
#endif
        od
    } unless {
        atomic { t_crash -> t_crash = 0 }
    };
    goto start
}

/* --- the kernel of the host, with its controller --- */

#define KEYS ((LAST << 1) - 1)
/* Any key that the lookup has not passed. */
inline pick(key)
{
    if
    :: !(seen & 1) -> key = 1
    :: !(seen & 2) -> key = 2
    :: !(seen & 4) && (KEYS & 4) -> key = 4
    :: !(seen & 8) && (KEYS & 8) -> key = 8
    fi
}

/* A step of a lookup. */
inline look(key)
{
    pick(key);
    if
    :: h_ring & key -> offered = key; seen = 0; old_lookup = 0
    :: else -> seen = seen | key
    fi;
    key = 0
}

/* Each line is one step: the power may go between any two. */
proctype HostKernel()
{
    byte key;

    do
    /* nothing connects before the keys are there: nvme-keyd-preload.service */
    :: atomic { (ctrl == OFF && h_published && h_ring) -> ctrl = CONNECTING }
    :: atomic { (ctrl == LIVE) -> skip }
    /* a reset, or an error of the connection */
    :: atomic { (ctrl == LIVE) -> ctrl = CONNECTING }
    :: atomic {
        (ctrl == CONNECTING && !offered && seen != KEYS) ->
        look(key);
#ifdef LOOKUP_AT_ONCE
        do
        :: !offered && seen != KEYS -> look(key)
        :: else -> break
        od
#endif
       }
    :: atomic {
        (seen == KEYS) ->
        assert(h_cleared || finds_a_key);
        ctrl = OFF; seen = 0; old_lookup = 0
       }
    :: atomic {
        (ctrl == CONNECTING && offered) ->
        if
        :: !t_port -> offered = 0 /* it tries again */
        :: t_port && (h_revoked & offered) -> assert(not_revoked); ctrl = OFF; offered = 0
        :: t_port && !(h_revoked & offered) && (t_ring & offered) ->
           ctrl = LIVE; conn = offered; offered = 0
        :: else -> assert(t_cleared || known_to_target); ctrl = OFF; offered = 0
        fi
       }
    od
}

/* --- the operator --- */

proctype Operator()
{
    do
    /* move: once the new key is in place */
    :: atomic { (ctrl == LIVE && h_idle && conn != h.act) -> ctrl = CONNECTING }
    :: atomic { (reverts < REVERTS && !back && !h.pend && h.act == t.act && h.top == t.top &&
            h.act == hd.act && t.act == td.act && (h.ret & t.ret & t_ring & (h.act >> 1))) ->
           back = h.act >> 1; reverts++ }
    :: atomic { (back && hd.act == back) -> back = 0 }
    od
}

/* --- faults --- */

byte faults;
#define MORE (faults < FAULTS)

proctype Faults()
{
    do
    :: break
    :: d_step { (MORE) -> faults++; h_crash = 1 }
    :: d_step { (MORE) -> faults++; t_crash = 1 }
    /* the power of the host, which comes back */
    :: d_step {
        (MORE) ->
        faults++;
        h.pend = hd.pend; h.act = hd.act; h.ret = hd.ret; h.conf = hd.conf; h.top = hd.top;
        h_ring = 0; h_revoked = 0; h_published = 0; h_cleared = 0; h_crash = 1; h_idle = 0;
        ctrl = OFF; offered = 0; seen = 0; old_lookup = 0; conn = 0
       }
    /* the power of the target */
    :: d_step {
        (MORE) ->
        faults++;
        t.act = td.act; t.ret = td.ret; t.top = td.top;
        t_ring = 0; t_port = 0; t_cleared = 0; t_crash = 1;
        ctrl = (ctrl == LIVE -> CONNECTING : ctrl)
       }
    /* keyctl clear */
    :: d_step { (MORE && h_published && h_ring) -> faults++; h_ring = 0; h_cleared = 1 }
    :: d_step { (MORE && t_port && t_ring) -> faults++; t_ring = 0; t_cleared = 1 }
#ifdef CLOCK
    :: d_step { (t_clock != CLOCK) -> t_clock = CLOCK }
#endif
    od
}

/* --- what must hold --- */

#define ONE(mask) ((mask) == 1 || (mask) == 2 || (mask) == 4 || (mask) == 8)

proctype Monitor()
{
    end: if
    /* at no instant none */
    :: atomic { (h_published && !h_cleared && !h_ring) -> assert(finds_a_key) }
    /* never two once settled, and the right one */
    :: atomic { (h_idle && !h_cleared && !ONE(h_ring)) -> assert(one_key) }
    :: atomic { (h_idle && !h_cleared && h_ring != h.act) -> assert(right_key) }
    /* nothing is thrown away before the new key has worked */
    :: atomic { (!(h.conf & h.act) && !h.ret) -> assert(old_key_is_kept) }
    fi
}

#define AT_END                                                                                     \
    (h.top == LAST && t.top == LAST && !h.pend && !h.ret && !t.ret && h.act == t.act &&            \
     h_ring == h.act && t_ring == t.act && !back)

/* Every rotation ends. Faults are finite; there is no other condition. */
#ifdef LIVENESS
ltl ends { <>[] AT_END }
#endif

init {
    d_step {
        h.act = FIRST; h.conf = FIRST; h.top = FIRST;
        hd.act = FIRST; hd.conf = FIRST; hd.top = FIRST;
        t.act = FIRST; t.top = FIRST;
        td.act = FIRST; td.top = FIRST
    };
    atomic {
        run HostDaemon();
        run TargetDaemon();
        run HostKernel();
        run Operator();
        run Faults();
        run Monitor()
    }
}

; Shares of a reward never exceed it, however many share it. Each query states the opposite; every answer has to be unsat.
; Whole numbers without bounds; what a share is in Solidity is in GameMoves.sol, _shareOf.
(set-logic ALL)
(declare-const pot Int)    ; what is shared pro rata
(declare-const whole Int)  ; what all parts sum up to
(declare-const before Int) ; parts of those who have been paid
(declare-const paid Int)   ; what they were paid
(declare-const part Int)   ; of the next one
(declare-const share Int)  ; floor(pot * part / whole)
(assert (and (>= pot 0) (> whole 0) (>= before 0) (>= paid 0) (>= part 0) (>= share 0)))

; Who comes next keeps what is true of nobody: paid / pot <= before / whole.
(push)
(assert (<= (* paid whole) (* pot before)))
(assert (and (<= (* share whole) (* pot part)) (< (* pot part) (* (+ share 1) whole))))
(assert (> (* (+ paid share) whole) (* pot (+ before part))))
(check-sat)
(pop)

; So whoever has been paid, together they were not paid more than there is.
(push)
(assert (<= (* paid whole) (* pot before)))
(assert (<= before whole))
(assert (> paid pot))
(check-sat)
(pop)

; The parts that are shared are parts of the reward: first the prover's spending, next that of others, the opener's tenth,
; then the rest.
(push)
(declare-const reward Int)
(declare-const spent Int)
(declare-const own Int)
(declare-const half Int)
(declare-const repaid Int)
(declare-const first Int)
(declare-const opener Int)
(assert (and (>= reward 0) (>= spent 0) (>= own 0) (<= own spent)))
(assert (= half (div reward 2)))
(assert (= repaid (ite (= spent 0) 0 (ite (< spent half) spent half))))
(assert (= first (ite (< own repaid) own repaid)))
(assert (= opener (div (* 10 (- reward repaid)) 100)))
(assert (not (and (>= (- repaid first) 0) (>= opener 0) (>= (- reward repaid opener) 0)
  (= reward (+ first (- repaid first) opener (- reward repaid opener))))))
(check-sat)
(pop)

; A slashed bond is split without a rest that is negative, and at least a fifth is burnt.
(push)
(declare-const slashed Int)
(declare-const prize Int)
(declare-const compensation Int)
(assert (>= slashed 0))
(assert (= prize (div (* 30 slashed) 100)))
(assert (= compensation (div (* 50 slashed) 100)))
(assert (not (and (>= (- slashed prize compensation) 0) (>= (* 5 (- slashed prize compensation)) slashed))))
(check-sat)
(pop)

; Of the bonds of an upheld dispute, what the requester gets is no more than all.
(push)
(declare-const bonds Int)
(assert (>= bonds 0))
(assert (not (and (>= (div (* 30 bonds) 100) 0) (<= (div (* 30 bonds) 100) bonds))))
(check-sat)
(pop)

; Factors below 2^128 have a product below 2^256, and each is the quotient of the product by the other.
(push)
(declare-const a Int)
(declare-const b Int)
(declare-const bound Int)
(assert (and (<= 0 a) (< a bound) (<= 0 b) (< b bound) (> bound 0)))
(assert (>= (* a b) (* bound bound)))
(check-sat)
(pop)
(push)
(declare-const a Int)
(declare-const b Int)
(assert (and (< 0 a) (<= 0 b)))
(assert (not (= (div (* a b) a) b)))
(check-sat)
(pop)

; A share of parts that are no more than all is no more than the whole.
(push)
(declare-const parts Int)
(assert (and (> parts 0) (<= part parts)))
(assert (not (<= (div (* pot part) parts) pot)))
(check-sat)
(pop)

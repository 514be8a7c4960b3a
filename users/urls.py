from django.urls import path

from users import http

urlpatterns = [
    path("auth/token", http.TokenView.as_view()),
    path("auth/token/refresh", http.TokenRefreshView.as_view()),
    path("auth/logout", http.LogoutView.as_view()),
    path("auth/password-reset", http.PasswordResetView.as_view()),
    path("auth/password-reset/confirm", http.PasswordResetConfirmView.as_view()),
    path("auth/email-change/confirm", http.EmailConfirmView.as_view()),
    path("users", http.UserListView.as_view()),
    path("users/me", http.MeView.as_view()),
    path("users/<id:user_id>", http.UserView.as_view()),
]
